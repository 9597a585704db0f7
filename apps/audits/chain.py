"""The arithmetic of the sealed trail: canonical text, digests that chain, seals, and where a chain breaks.

Pure. What is written and when belongs to trail; which rows are looked at, to verification.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

START = "0" * 64  # what stands before the first entry of a chain

Value = str | int | bool | None | list[str] | dict[str, "Value"]

_encode = json.JSONEncoder(
    sort_keys=True, separators=(",", ":"), allow_nan=False
).encode


def canonical(body: Mapping[str, Value]) -> str:
    """`body` as the one JSON text that stands for it: ASCII, keys sorted, no spaces, no floats.

    Raises TypeError for values that have no such form.
    """
    _refuse_floats(body)
    return _encode(body)


def _refuse_floats(body: Mapping[str, Value]) -> None:
    for name, value in body.items():
        if isinstance(value, float):
            raise TypeError(f"{name} is a float, which has no canonical form")
        if isinstance(value, dict):
            _refuse_floats(value)


def stamp(moment: datetime) -> str:
    """RFC 3339, UTC, microseconds."""
    told = moment.astimezone(UTC).isoformat(timespec="microseconds")
    return told.removesuffix("+00:00") + "Z"


def fingerprint(text: str) -> str:
    """SHA-256 of a text, in hex."""
    return hashlib.sha256(text.encode()).hexdigest()


def digest(previous: str, text: str) -> str:
    """What an entry hands on to the next: SHA-256 over the digest before and its own text.

    Anybody can compute it, so that whoever holds an export can follow the chain.
    """
    return hashlib.sha256(f"{previous}\n{text}".encode()).hexdigest()


def seal(key: bytes, own: str) -> str:
    """The code that only the installation can make: HMAC-SHA256 over an entry's digest."""
    return hmac.digest(key, own.encode(), "sha256").hex()


def same(one: str, other: str) -> bool:
    """Compare two codes in constant time, whatever characters somebody wrote into one."""
    return hmac.compare_digest(one.encode(), other.encode())


class Fault(StrEnum):
    """Why a link does not hold."""

    MISSING = "missing"
    ALTERED = "altered"
    MOVED = "moved"
    UNLINKED = "unlinked"
    UNSEALED = "unsealed"
    FOREIGN_KEY = "foreign key"


@dataclass(frozen=True, slots=True)
class Link:
    """One stored entry: its number, what is sealed, and what its other columns claim of it."""

    seq: int
    body: str
    key_id: str
    previous: str
    digest: str
    code: str
    columns: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Broken:
    """Why a link does not hold, as a name and a sentence."""

    fault: Fault
    says: str


def broken(link: Link, *, seq: int, previous: str, key: bytes | None) -> Broken | None:
    """Why `link` is not entry `seq` after `previous`; None where it is. `key` None: not ours."""
    if link.seq != seq:
        last = link.seq - 1
        which = f"entry {seq} is" if last == seq else f"entries {seq} to {last} are"
        return Broken(Fault.MISSING, f"{which} missing")
    own = digest(link.previous, link.body)
    if own != link.digest or not _claims_hold(link):
        return _of_itself(link, own)
    if link.previous != previous:
        return Broken(Fault.UNLINKED, f"entry {seq} does not follow the one before it")
    if key is None:
        return Broken(
            Fault.FOREIGN_KEY,
            f"entry {seq} names the key {link.key_id!r}, which is not here",
        )
    if not same(seal(key, own), link.code):
        says = f"entry {seq} was not sealed here: it was inserted, or written anew"
        return Broken(Fault.UNSEALED, says)
    return None


def _of_itself(link: Link, own: str) -> Broken:
    """What is wrong with an entry that contradicts itself."""
    claims = _claims(link.body)
    number = claims.get("seq")
    if own == link.digest and isinstance(number, int) and number != link.seq:
        return Broken(Fault.MOVED, f"entry {link.seq} was entry {number}: moved")
    if own != link.digest:
        return Broken(Fault.ALTERED, f"entry {link.seq} was altered")
    wrong = [n for n, value in _told(link).items() if claims.get(n) != value]
    return Broken(
        Fault.ALTERED,
        f"entry {link.seq} was altered: {', '.join(wrong)} differ from what is sealed",
    )


def _claims_hold(link: Link) -> bool:
    claims = _claims(link.body)
    return all(claims.get(name) == value for name, value in _told(link).items())


def _told(link: Link) -> dict[str, object]:
    return {"seq": link.seq, **link.columns}


def _claims(body: str) -> dict[str, object]:
    try:
        read = json.loads(body)
    except ValueError:
        return {}
    return read if isinstance(read, dict) else {}
