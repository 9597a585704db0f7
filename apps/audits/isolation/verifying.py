"""Checks an isolation audit's bundle without the installation that made it.

    python verifying.py bundle.ndjson [--public-key BASE64]

Needs Python 3.10 or later and the package `cryptography`, nothing else; copy this one file. Exit
code 0: the bundle is whole; 1: it is not; 2: it cannot be read. The key inside the bundle proves only
that it agrees with itself: give the installation's key, got another way, with --public-key.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

FORM = 1
START = "0" * 64
MOST_BYTES = 50_000_000


class UnreadableError(Exception):
    """This is no bundle."""


class BrokenError(Exception):
    """The bundle does not hold, and where."""


@dataclass(frozen=True)
class Verified:
    """What a whole bundle says, and how far its key proves it."""

    head: dict[str, Any]
    end: dict[str, Any]
    fingerprint: str
    known_key: bool

    @property
    def sentence(self) -> str:
        told = (
            f"Audit {self.head['audit']} of {self.head['installation']}, {self.head['began_at']}: "
            f"{self.end['verdict']}, {self.end['probes']} probes on {self.end['surfaces']} surfaces "
            f"({self.end['held']} held, {self.end['breached']} breached, "
            f"{self.end['inconclusive']} inconclusive)."
        )
        key = f"Signed by the key {self.fingerprint}"
        if self.known_key:
            return f"{told}\n{key}, the one that you gave: whole."
        return (
            f"{told}\n{key}, which stands in the bundle itself: self-consistent only."
        )


def link(previous: str, text: str) -> str:
    """SHA-256 of the digest before and a line: what each line hands on to the next."""
    return hashlib.sha256(f"{previous}\n{text}".encode()).hexdigest()


def fingerprint_of(key: bytes) -> str:
    """The first 16 hexadecimal digits of a public key's SHA-256."""
    return hashlib.sha256(key).hexdigest()[:16]


def verify(path: Path, public_key: str = "") -> Verified:
    """What a bundle says, once it is proved whole. Raises UnreadableError or BrokenError."""
    lines = _lines(path)
    head = _object(lines[0], 1)
    if head.get("form") != FORM or "audit" not in head:
        raise UnreadableError("its first line is no head of a bundle of this form")
    end = _object(lines[-1], len(lines))
    if "signature" not in end:
        raise BrokenError("it is cut short: its last line bears no signature")
    digest = START
    counts = {"held": 0, "breached": 0, "inconclusive": 0}
    for number, text in enumerate(lines[:-1], 1):
        digest = link(digest, text)
        if number > 1:
            _count(counts, _object(text, number), number)
    if lines[-1] != _canonical(end):
        raise BrokenError("its last line was altered")
    if digest != end.get("digest"):
        raise BrokenError("a line was altered, added, moved or taken away")
    key = _key(head, public_key)
    _check_signature(end, key)
    _check_claims(end, counts, len(lines) - 2)
    return Verified(head, end, fingerprint_of(key), bool(public_key))


def _lines(path: Path) -> list[str]:
    try:
        if path.stat().st_size > MOST_BYTES:
            raise UnreadableError("it is larger than any bundle")
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UnreadableError(str(error)) from error
    if not text.startswith("{"):
        raise UnreadableError("it has no lines of a bundle")
    if not text.endswith("\n"):
        raise BrokenError("it is cut short: its last line has no end")
    lines = text.removesuffix("\n").split("\n")
    if len(lines) < 2:
        raise BrokenError("it is cut short: it has one line")
    return lines


def _object(text: str, number: int) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise UnreadableError(f"line {number} is not JSON") from error
    if not isinstance(value, dict):
        raise UnreadableError(f"line {number} is no object")
    return value


def _canonical(value: dict[str, Any]) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def _count(counts: dict[str, int], probe: dict[str, Any], number: int) -> None:
    outcome = probe.get("outcome")
    if probe.get("number") != number - 1 or outcome not in counts:
        raise BrokenError(f"line {number} is not probe {number - 1}")
    counts[outcome] += 1


def _key(head: dict[str, Any], given: str) -> bytes:
    try:
        own = base64.b64decode(str(head.get("public_key", "")), validate=True)
        wanted = base64.b64decode(given, validate=True) if given else own
    except ValueError as error:
        raise UnreadableError("a public key is not base64") from error
    if wanted != own:
        raise BrokenError(
            f"it was signed by the key {fingerprint_of(own)}, not by the one that you gave "
            f"({fingerprint_of(wanted)}): another installation's, or a forgery"
        )
    return own


def _check_signature(end: dict[str, Any], key: bytes) -> None:
    body = {name: value for name, value in end.items() if name != "signature"}
    try:
        signature = base64.b64decode(str(end["signature"]), validate=True)
        Ed25519PublicKey.from_public_bytes(key).verify(
            signature, _canonical(body).encode()
        )
    except (InvalidSignature, ValueError) as error:
        raise BrokenError("its signature does not hold") from error
    if base64.b64encode(signature).decode() != end["signature"]:
        raise BrokenError("its signature was altered")


def _check_claims(end: dict[str, Any], counts: dict[str, int], probes: int) -> None:
    """A signed sum that does not follow from the probes would be a lie of the signer's."""
    verdict = "passed"
    if counts["breached"]:
        verdict = "breached"
    elif counts["inconclusive"] or not probes:
        verdict = "inconclusive"
    told = {"probes": probes, "verdict": verdict, **counts}
    wrong = [name for name, value in told.items() if end.get(name) != value]
    if wrong:
        raise BrokenError(f"its sums do not follow from its probes: {', '.join(wrong)}")


def main(arguments: list[str] | None = None) -> int:
    """The command; returns the exit code."""
    parser = argparse.ArgumentParser(description="Checks an isolation audit's bundle.")
    parser.add_argument("file", type=Path)
    parser.add_argument("--public-key", default="", metavar="BASE64")
    given = parser.parse_args(arguments)
    try:
        told = verify(given.file, given.public_key).sentence
    except BrokenError as error:
        sys.stderr.write(f"{given.file}: {error}.\n")
        return 1
    except UnreadableError as error:
        sys.stderr.write(f"{given.file} cannot be read as a bundle: {error}.\n")
        return 2
    sys.stdout.write(told + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
