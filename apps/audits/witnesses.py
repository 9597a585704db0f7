"""The registry of witnesses: who can say whether what an entry tells of is still as it was sealed.

Entries hold digests of rows that belong to apps above; those register how to compare them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from uuid import UUID

from apps.audits.acts import Act


class Standing(StrEnum):
    """How what an entry tells of is found now."""

    WHOLE = "whole"
    FORGOTTEN = "words forgotten"  # somebody's words were erased; the rest is as sealed
    PRUNED = "log pruned"  # the retention of logs removed the details
    BROKEN = "broken"


@dataclass(frozen=True, slots=True)
class Statement:
    """What an entry says: its number, its target, its details."""

    seq: int
    target: str
    details: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a statement is found, and what is wrong where it does not hold."""

    seq: int
    standing: Standing
    says: str = ""


Witness = Callable[[UUID, Sequence[Statement]], Iterable[Verdict]]
_witnesses: dict[str, Witness] = {}


def register(act: Act, witness: Witness) -> None:
    """`witness` gets an organisation and statements, within a scope that may read its rows."""
    _witnesses[act] = witness


def witness_of(act: str) -> Witness | None:
    """Who can prove entries of this act; None where nothing is to be proved."""
    return _witnesses.get(act)
