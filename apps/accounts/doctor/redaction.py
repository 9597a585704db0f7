"""What the doctor shows of a person and of a provider's words: enough to find the fault, no more. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

CLAIMS_SHOWN = 60
NAME_LENGTH, VALUE_LENGTH = 60, 200
ADDRESS = re.compile(r"[^\s@'\"<>()]+@[^\s'\"<>()]+")
# What says nothing about the person; everything else is told by its kind.
PLAIN = frozenset(
    {"iss", "aud", "azp", "email_verified", "hd", "tid", "acr", "amr", "ver"}
)
MOMENTS = frozenset({"iat", "exp", "nbf", "auth_time"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """One claim as it is shown; `moment` is an ISO time where it is one."""

    name: str
    shown: str
    moment: str = ""


def address(text: str) -> str:
    """An e-mail address of which the domain and one letter are left."""
    local, at, domain = text.strip().rpartition("@")
    if not at:
        return kind(text)
    return f"{local[:1]}…@{domain[:VALUE_LENGTH]}"


def sentence(text: str) -> str:
    """A sentence in which every e-mail address is masked."""
    return ADDRESS.sub(lambda found: address(found[0]), text)


def subject(text: str) -> str:
    """The beginning of a subject and how long it is."""
    if "@" in text:
        return f"{address(text)} ({len(text)} characters)"
    kept = min(4, len(text) // 3)
    return f"{text[:kept]}… ({len(text)} characters)"


def kind(value: object) -> str:
    """What sort of value it is, without the value."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "yes or no"
    if isinstance(value, int | float):
        return "a number"
    if isinstance(value, str):
        return f"text of {len(value)} characters"
    if isinstance(value, list | tuple):
        return f"a list of {len(value)}"
    if isinstance(value, Mapping):
        return f"an object with {len(value)} names"
    return "something else"


def claims(told: Mapping[str, object]) -> tuple[Claim, ...]:
    """The claims of an answer, by name; a liar's thousand are cut."""
    names = sorted(map(str, told))[:CLAIMS_SHOWN]
    return tuple(_claim(name, told.get(name)) for name in names)


def _claim(name: str, value: object) -> Claim:
    shown_name = sentence(name[:NAME_LENGTH])
    if name == "sub" and isinstance(value, str):
        return Claim(name=shown_name, shown=subject(value))
    if name == "email" and isinstance(value, str):
        return Claim(name=shown_name, shown=address(value))
    if name in MOMENTS and (moment := _moment(value)):
        return Claim(name=shown_name, shown=moment, moment=moment)
    if name in PLAIN:
        return Claim(name=shown_name, shown=_plain(value))
    return Claim(name=shown_name, shown=kind(value))


def _plain(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        value = ", ".join(value)
    if isinstance(value, str):
        return sentence(value)[:VALUE_LENGTH]
    return kind(value)


def _moment(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return ""
    try:
        return datetime.fromtimestamp(value, UTC).isoformat(timespec="seconds")
    except (OverflowError, OSError, ValueError):
        return ""
