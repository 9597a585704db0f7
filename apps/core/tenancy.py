"""Scopes: every query runs for one organisation, for staff, or for a named system reason.

An unscoped query on a tenant's table raises. Who belongs to whom is told by accounts.
"""

from __future__ import annotations

import uuid
from collections import Counter
from contextlib import AbstractContextManager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from types import TracebackType
from typing import Any, ClassVar, Self
from uuid import UUID

from django.db import models
from django_scopes import ScopedManager, scope, scopes_disabled
from django_scopes.exceptions import ScopeError
from django_scopes.manager import DisabledQuerySet

from apps.core import stamps

UnscopedError = ScopeError  # what a query outside any scope raises


class ScopeKind(StrEnum):
    """How far a scope reaches."""

    TENANT = "tenant"
    STAFF = "staff"
    SYSTEM = "system"


class NoScopeError(RuntimeError):
    """Code asked for the present scope, and none was open."""


_open: ContextVar[tuple[tuple[Scope, AbstractContextManager[Any]], ...]] = ContextVar(
    "netra_open_scopes", default=()
)
system_openings: Counter[str] = Counter()


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """What a live grant opens for staff, and until when. Only audits.grants makes one."""

    grant_id: UUID
    organisation_id: UUID
    reach: str  # execution, thread, organisation
    reach_id: UUID | None
    until: datetime


@dataclass(frozen=True, slots=True)
class Scope:
    """For whom rows are read and written. Use it as a context manager or pass it on."""

    kind: ScopeKind
    organisation_id: UUID | None = None
    user_id: UUID | None = None
    reason: str = ""
    grant: Opening | None = None

    def __enter__(self) -> Self:
        stamp = self.stamp  # raises for a scope that is none, before anything is open
        # Staff under a grant see that one organisation's rows, like a member.
        manager: AbstractContextManager[Any] = (
            scope(organisation=self.organisation_id)
            if self.kind is ScopeKind.TENANT or self.grant is not None
            else scopes_disabled()
        )
        manager.__enter__()
        _open.set((*_open.get(), (self, manager)))
        stamps.present.set(stamp)
        if self.kind is ScopeKind.SYSTEM:
            system_openings[self.reason] += 1
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        *outer, (_, manager) = _open.get()
        _open.set(tuple(outer))
        stamps.present.set(outer[-1][0].stamp if outer else b"")
        manager.__exit__(kind, error, trace)

    @property
    def stamp(self) -> bytes:
        """What PostgreSQL is told. Staff under a grant name it, and it is looked up there live."""
        if self.kind is ScopeKind.TENANT:
            return stamps.stamp(self.kind, self.tenant_id, self.user_id, None)
        grant = self.grant.grant_id if self.grant is not None else None
        return stamps.stamp(self.kind, None, self.user_id, grant)

    @property
    def tenant_id(self) -> UUID:
        """The organisation of a tenant scope; raises NoScopeError for the others."""
        if self.organisation_id is None:
            raise NoScopeError(f"a {self.kind} scope has no organisation")
        return self.organisation_id

    @property
    def person_id(self) -> UUID:
        """The user of a tenant scope; raises NoScopeError when there is none."""
        if self.user_id is None:
            raise NoScopeError(f"this {self.kind} scope has no user")
        return self.user_id


def tenant(organisation_id: UUID, user_id: UUID | None = None) -> Scope:
    """One organisation's rows, and nobody else's."""
    if not isinstance(organisation_id, UUID):
        raise TypeError(f"organisation_id must be a UUID, not {organisation_id!r}")
    return Scope(ScopeKind.TENANT, organisation_id, user_id)


def staff(user_id: UUID, *, grant: Opening | None = None) -> Scope:
    """Structure of all organisations, for support; under a grant content too, of one of them."""
    reached = grant.organisation_id if grant is not None else None
    return Scope(ScopeKind.STAFF, reached, user_id, grant=grant)


def system(reason: str) -> Scope:
    """All rows, for the few modules that import contracts name. Each opening is counted."""
    return Scope(ScopeKind.SYSTEM, reason=reason)


def current_scope() -> Scope:
    """The innermost open scope; raises NoScopeError outside any."""
    opened = _open.get()
    if not opened:
        raise NoScopeError("no scope is open here")
    return opened[-1][0]


def topic(organisation_id: UUID, *parts: object) -> str:
    """The name of a hub topic, cache key or channel group: organisation always first."""
    return ".".join((organisation_id.hex, *(str(part) for part in parts)))


def scoped_manager(organisation: str = "organisation") -> Any:
    """A manager that filters by the open scope, and raises ScopeError where none is open.

    `organisation` is the field that holds it. django-scopes alone lets a few methods through
    without a scope, `exists` among them; here nothing passes.
    """
    filtering: Any = type(ScopedManager(organisation=organisation))

    class FailClosedManager(filtering):  # type: ignore[misc]  # its base is made at run time
        def get_queryset(self) -> Any:
            rows = super().get_queryset()
            if isinstance(rows, DisabledQuerySet):
                rows.error()
            return rows

    return FailClosedManager()


class TenantModel(models.Model):
    """A row that belongs to one organisation."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    organisation = models.ForeignKey(
        "accounts.Organisation", on_delete=models.PROTECT, related_name="+"
    )

    objects: ClassVar[Any] = scoped_manager()

    class Meta:
        abstract = True
        base_manager_name = "objects"

    def delete(self, *args: Any, **options: Any) -> tuple[int, dict[str, int]]:
        """Refuse outside a scope: Django deletes a single row without asking a manager."""
        current_scope()
        return super().delete(*args, **options)
