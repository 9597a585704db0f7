"""Which failures are the same fault: a stable fingerprint from what does not vary by chance."""

from __future__ import annotations

import hashlib
import re

LENGTH = 32
_UUID = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}")
_HEX = re.compile(r"\b(?:0x)?(?=[0-9a-f]*\d)[0-9a-f]{8,}\b")
_NUMBER = re.compile(r"\d+")
_SPACE = re.compile(r"\s+")


def fingerprint(*, agent: str, state: str, error_code: str, error_class: str) -> str:
    """The same for failures that differ only in numbers, ids, letter case and spacing."""
    parts = [settled(part) for part in (agent, state, error_code, error_class)]
    # Lengths keep ("ab", "c") apart from ("a", "bc").
    told = "".join(f"{len(part)}:{part}" for part in parts)
    return hashlib.sha256(told.encode()).hexdigest()[:LENGTH]


def settled(text: str) -> str:
    """A name without what varies from one failure to the next."""
    plain = _SPACE.sub(" ", text.casefold()).strip()
    return _NUMBER.sub("0", _HEX.sub("0", _UUID.sub("0", plain)))
