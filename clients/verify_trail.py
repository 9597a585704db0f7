"""Checks an exported trail without access to the installation that made it.

    python verify_trail.py trail.ndjson [--key signing-1=BASE64] [--checkpoints FILE]

Needs Python 3.10 or later and the package `cryptography`. It recomputes the digest of every entry
from its text and the digest before, compares numbers and links, and checks the Ed25519 signature
and the links of every checkpoint. Exit code 0: it holds; 1: it does not; 2: it cannot be read.

The keys inside the file prove only that it agrees with itself. Name the keys that you were given
by another way (`--key`, as often as there are keys), and give the file of checkpoints that you
kept from earlier (`--checkpoints`): then nobody can have rewritten what was signed before.
The `code` of entries is made with a secret key and is checked by the installation itself.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

FORM = 1


class UnreadableError(Exception):
    """This is no export of a trail."""


class BrokenError(Exception):
    """The trail does not hold, and where."""


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def lines_of(path: str) -> Iterator[dict]:
    try:
        with Path(path).open(encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                value = json.loads(line)
                if not isinstance(value, dict):
                    raise UnreadableError(f"line {number} is no object")
                yield value
    except (OSError, ValueError) as error:
        raise UnreadableError(f"{path}: {error}") from error


def check_signature(mark: dict, keys: dict[str, bytes]) -> dict:
    """What a checkpoint says, once its signature is proved."""
    key = keys.get(mark["key_id"])
    if key is None:
        raise BrokenError(
            f"a checkpoint names the key {mark['key_id']!r}, which you did not give"
        )
    try:
        signature = base64.b64decode(mark["signature"], validate=True)
        Ed25519PublicKey.from_public_bytes(key).verify(signature, mark["body"].encode())
    except (InvalidSignature, ValueError) as error:
        raise BrokenError("a checkpoint is not signed as it stands") from error
    return json.loads(mark["body"])


class Check:
    """The way through an export, line by line."""

    def __init__(self, header: dict, keys: dict[str, bytes]) -> None:
        if header.get("kind") != "netra-trail" or header.get("form") != FORM:
            raise UnreadableError(
                "this is no export of a trail that this program knows"
            )
        self.chain, self.keys = header["chain"], keys
        self.expected, self.last = header["first"], header["last"]
        self.previous: str | None = None if header["first"] > 1 else "0" * 64
        self.digests: dict[int, str] = {}
        self.marks: list[tuple[int, str]] = []
        self.mark_before: str | None = None

    def entry(self, line: dict) -> None:
        seq = line["seq"]
        if seq != self.expected:
            raise BrokenError(f"entry {self.expected} is missing; entry {seq} follows")
        if self.previous is not None and line["previous"] != self.previous:
            raise BrokenError(f"entry {seq} does not follow the one before it")
        if sha256(f"{line['previous']}\n{line['body']}") != line["digest"]:
            raise BrokenError(f"entry {seq} was altered")
        body = json.loads(line["body"])
        if body["seq"] != seq or body["organisation"] != self.chain:
            raise BrokenError(f"entry {seq} is an entry of another place")
        self.previous, self.expected = line["digest"], seq + 1
        self.digests[seq] = line["digest"]

    def checkpoint(self, line: dict) -> None:
        claims = check_signature(line, self.keys)
        if claims["chain"] != self.chain:
            raise BrokenError(
                f"the checkpoint of entry {claims['seq']} is of another chain"
            )
        if self.mark_before is not None and claims["previous"] != self.mark_before:
            raise BrokenError(
                f"the checkpoint before that of entry {claims['seq']} is missing"
            )
        self.mark_before = sha256(line["body"])
        self.marks.append((claims["seq"], claims["digest"]))

    def end(self, line: dict) -> None:
        if (line["entries"], line["checkpoints"]) != (
            len(self.digests),
            len(self.marks),
        ):
            raise BrokenError("lines are missing")
        if self.expected != self.last + 1:
            raise BrokenError(f"entries {self.expected} to {self.last} are missing")
        if not self.marks or self.marks[-1][0] != self.last:
            raise BrokenError("the last entry is not signed")
        self.compare(self.marks, "the checkpoint")

    def compare(self, marks: list[tuple[int, str]], which: str) -> None:
        for seq, digest in marks:
            if seq in self.digests and self.digests[seq] != digest:
                raise BrokenError(f"entry {seq} is not the one that {which} speaks of")


def kept_marks(path: str, check: Check) -> list[tuple[int, str]]:
    """What checkpoints kept from earlier say; each is proved first."""
    claims = [check_signature(mark, check.keys) for mark in lines_of(path)]
    return [(c["seq"], c["digest"]) for c in claims if c["chain"] == check.chain]


def verify(path: str, given: dict[str, bytes], kept: str | None) -> str:
    """One sentence about an export that holds. Raises BrokenError or UnreadableError."""
    lines = lines_of(path)
    header = next(lines, {})
    own = {n: base64.b64decode(k) for n, k in header.get("public_keys", {}).items()}
    check = Check(header, given or own)
    ended = False
    for line in lines:
        if ended:
            raise BrokenError("something follows the end")
        kind = line.get("kind")
        if kind not in {"entry", "checkpoint", "end"}:
            raise UnreadableError(f"a line is of the unknown kind {kind!r}")
        getattr(check, kind)(line)
        ended = kind == "end"
    if not ended:
        raise BrokenError("the end is missing: the file was cut off")
    if kept:
        check.compare(kept_marks(kept, check), "a checkpoint that you kept")
    proof = (
        "signed by the keys you gave"
        if given
        else (
            "self-consistent only: compare the keys with those you were given by another way"
        )
    )
    return (
        f"{len(check.digests)} entries of {header['organisation']} hold, "
        f"{len(check.marks)} checkpoints; {proof}."
    )


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("file")
    parser.add_argument("--key", action="append", default=[], metavar="NAME=BASE64")
    parser.add_argument("--checkpoints", metavar="FILE")
    options = parser.parse_args()
    try:
        pairs = [told.partition("=")[::2] for told in options.key]
        given = {name: base64.b64decode(key, validate=True) for name, key in pairs}
        print(verify(options.file, given, options.checkpoints))
    except BrokenError as error:
        print(f"The trail does not hold: {error}.")
        return 1
    except (UnreadableError, KeyError, TypeError, ValueError) as error:
        print(f"This cannot be checked: {error}.", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
