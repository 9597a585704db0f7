"""Every write of issues. `record` may be called twice for one execution: it counts once."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import F, Max
from django.db.models.functions import Greatest, Least

from apps.accounts.queries import canaries
from apps.core.errors import UnavailableError
from apps.executions.events import ExecutionFinished
from apps.executions.models import Execution
from apps.executions.states import WORDS, ExecutionState
from apps.issues import queries
from apps.issues.fingerprints import fingerprint
from apps.issues.models import Evidence, Issue

TRIES = 5  # others may take the same number, or open the same issue, at the same moment


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """What grouping needs to know of an execution that went wrong. No content."""

    execution_id: UUID
    organisation_id: UUID
    agent: str
    state: ExecutionState
    error_code: str
    error_class: str
    at: datetime

    @classmethod
    def announced(cls, event: ExecutionFinished) -> Failure:
        values = {name: getattr(event, name) for name in cls.__dataclass_fields__}
        return cls(**values)

    @classmethod
    def of(cls, row: Execution) -> Failure:
        return cls(
            execution_id=row.pk,
            organisation_id=row.organisation_id,
            agent=row.agent,
            state=ExecutionState(row.state),
            error_code=row.error_code,
            error_class=row.error_class,
            at=row.finished_at or row.updated_at,
        )

    @property
    def fingerprint(self) -> str:
        return fingerprint(
            agent=self.agent,
            state=self.state.value,
            error_code=self.error_code,
            error_class=self.error_class,
        )

    @property
    def title(self) -> str:
        cause = self.error_class or self.error_code
        words = WORDS[self.state].lower()
        return f"{self.agent}: {words} ({cause})"[:200]


def record(failure: Failure) -> Issue | None:
    """Open an issue for a failure, or count it on the one it belongs to; once per execution.

    None for what is no failure, and for organisations that exist for audits. Runs in a scope that
    sees all organisations, since issues share one row of numbers.
    """
    if failure.state not in queries.FAILURES:
        return None
    if canaries().filter(pk=failure.organisation_id).exists():
        return None
    for _ in range(TRIES):
        known = queries.issue_of(failure.execution_id)
        if known is not None:
            return known
        try:
            with transaction.atomic():
                return _count(failure)
        except IntegrityError:
            continue  # someone was first; look again at what they wrote
    raise UnavailableError(
        f"The failure {failure.execution_id} could not be grouped; the next sweep tries again."
    )


def plant_canary_issue(
    *, organisation_id: UUID, title: str, execution_id: UUID, now: datetime
) -> Issue:
    """An issue of a canary organisation, for isolation audits: `record` makes none for these."""
    Issue.objects.filter(organisation_id=organisation_id).delete()
    for _ in range(TRIES):
        newest = Issue.objects.aggregate(newest=Max("number"))["newest"] or 0
        with suppress(IntegrityError), transaction.atomic():
            issue: Issue = Issue.objects.create(
                organisation_id=organisation_id,
                number=newest + 1,
                title=title,
                fingerprint="canary",
                first_seen=now,
                last_seen=now,
            )
            Evidence.objects.create(
                organisation_id=organisation_id,
                issue=issue,
                execution_id=execution_id,
                at=now,
            )
            return issue
    raise UnavailableError("No number could be had for a canary's issue.")


def _count(failure: Failure) -> Issue:
    issue = _issue(failure)
    Evidence.objects.create(
        organisation_id=failure.organisation_id,
        issue=issue,
        execution_id=failure.execution_id,
        at=failure.at,
    )
    changes: dict[str, Any] = {
        "count": F("count") + 1,
        "first_seen": Least("first_seen", failure.at),
        "last_seen": Greatest("last_seen", failure.at),
    }
    if failure.at > issue.last_seen:
        changes["status"] = Issue.Status.OPEN  # it came back after it was closed
    Issue.objects.filter(pk=issue.pk).update(**changes)
    issue.refresh_from_db()
    return issue


def _issue(failure: Failure) -> Issue:
    found: Issue | None = Issue.objects.filter(
        organisation_id=failure.organisation_id, fingerprint=failure.fingerprint
    ).first()
    if found is not None:
        return found
    highest = Issue.objects.aggregate(highest=Max("number"))["highest"] or 0
    created: Issue = Issue.objects.create(
        organisation_id=failure.organisation_id,
        number=highest + 1,
        title=failure.title,
        fingerprint=failure.fingerprint,
        first_seen=failure.at,
        last_seen=failure.at,
    )
    return created
