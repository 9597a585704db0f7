"""Checks an exported trail without access to the installation that made it.

    python verify_trail.py trail.ndjson [--key signing-1=BASE64] [--checkpoints FILE [--part]]

Needs Python 3.10 or later and the package `cryptography`. It recomputes the digest of every entry
from its text and the digest before, compares numbers and links, and checks the Ed25519 signature
and the links of every checkpoint. Exit code 0: it holds; 1: it does not; 2: it cannot be read.

The keys inside the file prove only that it agrees with itself. Name the keys that you were given
by another way (`--key`, as often as there are keys), and give the file of checkpoints that you
kept from earlier (`--checkpoints`): then nobody can have rewritten what was signed before, or have
cut off the end. An export that was asked for with `until` ends earlier on purpose: say `--part`.
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
        if not (isinstance(self.expected, int) and isinstance(self.last, int)):
            raise UnreadableError("it does not say from which entry to which it goes")
        self.previous: str | None = None if header["first"] > 1 else "0" * 64
        self.digests: dict[int, str] = {}
        self.marks: list[tuple[int, str]] = []
        self.mark_before: str | None = None

    def entry(self, line: dict) -> None:
        seq = line["seq"]
        if seq != self.expected:
            raise BrokenError(
                f"entry {self.expected} is missing; entry {seq!a} follows"
            )
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


def compare_kept(check: Check, path: str, *, part: bool) -> str:
    """Compare with what was kept from earlier; says how many spoke of these entries."""
    marks = kept_marks(path, check)
    furthest = max((seq for seq, _ in marks), default=0)
    if furthest > check.last and not part:
        raise BrokenError(
            f"the file ends with entry {check.last}, and a checkpoint that you kept speaks of entry "
            f"{furthest}. If you asked for a part only, say --part"
        )
    check.compare(marks, "a checkpoint that you kept")
    of_these = sum(seq in check.digests for seq, _ in marks)
    if not of_these:
        raise UnreadableError(f"no checkpoint in {path} speaks of these entries")
    return f" {of_these} checkpoints that you kept say the same."


def verify(
    path: str, given: dict[str, bytes], kept: str | None, *, part: bool = False
) -> str:
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
    compared = compare_kept(check, kept, part=part) if kept else ""
    proof = (
        "signed by the keys you gave"
        if given
        else (
            "self-consistent only: compare the keys with those you were given by another way"
        )
    )
    return (
        # The name is the file's own word, and quoted so that it cannot pass for ours.
        f"entries {header['first']} to {check.last} of {header['organisation']!a} hold, "
        f"{len(check.marks)} checkpoints; {proof}.{compared}"
    )


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("file")
    parser.add_argument("--key", action="append", default=[], metavar="NAME=BASE64")
    parser.add_argument("--checkpoints", metavar="FILE")
    parser.add_argument("--part", action="store_true")
    options = parser.parse_args()
    try:
        pairs = [told.partition("=")[::2] for told in options.key]
        given = {name: base64.b64decode(key, validate=True) for name, key in pairs}
        print(verify(options.file, given, options.checkpoints, part=options.part))
    except BrokenError as error:
        print(f"The trail does not hold: {error}.")
        return 1
    except (
        UnreadableError, AttributeError, KeyError, RecursionError, TypeError, ValueError,
    ) as error:  # fmt: skip
        print(f"This cannot be checked: {error}.", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
