"""Walks large tables in stretches of their keys, so that a look at all of them stays bounded.

Knows no table; `invariants` and `histories` register what must hold in each stretch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Self
from uuid import UUID

from django.db.models import Model, Q, QuerySet

STRETCH = 5_000  # rows that one statement looks at, and what hangs on them


@dataclass(frozen=True, slots=True)
class Subject:
    """A table that is walked along `key`; `since` says which of its rows are that young."""

    model: type[Model]
    key: str = "pk"
    since: Callable[[datetime], Q] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Which part of the database is looked at: all of it where nothing is said."""

    organisation_id: UUID | None = None
    since: datetime | None = None

    def of(self, subject: Subject) -> Q:
        wanted = Q()
        if self.organisation_id is not None:
            wanted &= Q(organisation_id=self.organisation_id)
        if self.since is not None and subject.since is not None:
            wanted &= subject.since(self.since)
        return wanted


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """One stretch of a subject: after one key, up to another, of the wanted part."""

    subject: Subject
    part: Part
    now: datetime
    after: object = None
    upto: object = None

    @property
    def rows(self) -> QuerySet[Any]:
        """The subject's own rows in this stretch."""
        rows: QuerySet[Any] = _rows_of(self.subject.model).filter(
            self._range(self.subject.key), self.part.of(self.subject)
        )
        return rows.order_by()

    def of(self, model: type[Model], name: str) -> QuerySet[Any]:
        """Rows of another table whose column `name` holds a key of this stretch."""
        rows: QuerySet[Any] = _rows_of(model).filter(self._range(name)).order_by()
        if self.part != Part():
            rows = rows.filter(**{f"{name}__in": self.rows.values("pk")})
        return rows

    def bounded(self) -> Self:
        """The same from its beginning on, ending after so many rows."""
        key = self.subject.key
        keys = self.rows.order_by(key).values_list(key, flat=True)
        return replace(self, upto=keys[STRETCH - 1 : STRETCH].first())

    def following(self) -> Self | None:
        """What comes after this stretch; None where it was the last."""
        return None if self.upto is None else replace(self, after=self.upto, upto=None)

    def _range(self, name: str) -> Q:
        found = Q()
        if self.after is not None:
            found &= Q(**{f"{name}__gt": self.after})
        if self.upto is not None:
            found &= Q(**{f"{name}__lte": self.upto})
        return found


def _rows_of(model: type[Model]) -> Any:
    return model.objects  # type: ignore[attr-defined]  # every table of a tenant has it


@dataclass(frozen=True, slots=True)
class Violation:
    """Something that is not as it must be. Its text is the line that people read."""

    code: str
    kind: str
    id: object
    says: str

    def __str__(self) -> str:
        return f"{self.code} {self.kind} {self.id}: {self.says}"


Found = Iterable[Violation]
Look = Callable[[Span], Found]


@dataclass(frozen=True, slots=True)
class Check:
    """One look at a stretch of its subject, for the invariants named by `codes`."""

    subject: Subject
    codes: frozenset[str]
    look: Look


CHECKS: list[Check] = []


def check(subject: Subject, *codes: str) -> Callable[[Look], Look]:
    """Register a function that looks at a stretch of `subject` for the invariants `codes`."""

    def register(look: Look) -> Look:
        CHECKS.append(Check(subject, frozenset(codes), look))
        return look

    return register
