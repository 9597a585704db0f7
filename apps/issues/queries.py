"""Reads about issues and what still has to be grouped."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from django.db.models import Exists, OuterRef, QuerySet

from apps.accounts.queries import canaries
from apps.executions.models import Execution
from apps.executions.states import ExecutionState
from apps.issues.models import Evidence, Issue

FAILURES = frozenset(
    {ExecutionState.FAILED, ExecutionState.TIMEOUT, ExecutionState.DEAD}
)


def failures_without_evidence(since: datetime, limit: int) -> list[Execution]:
    """Failed executions since `since` that no issue knows, oldest first. Canaries are left out."""
    known = Evidence.objects.filter(execution_id=OuterRef("id"))
    rows = Execution.objects.filter(
        state__in=sorted(FAILURES), created_at__gte=since
    ).exclude(organisation__in=canaries())
    return list(rows.exclude(Exists(known)).order_by("created_at")[:limit])


def issue_of(execution_id: UUID) -> Issue | None:
    """The issue whose evidence an execution is."""
    found: Issue | None = Issue.objects.filter(
        evidence__execution_id=execution_id
    ).first()
    return found


def evidence_of(issue_id: UUID, limit: int) -> list[Evidence]:
    """An issue's newest executions."""
    rows = Evidence.objects.filter(issue_id=issue_id).select_related("execution")
    return list(rows.order_by("-at")[:limit])


def issues() -> QuerySet[Issue]:
    """All issues of the open scope, without those of organisations that exist for audits."""
    rows: QuerySet[Issue] = Issue.objects.exclude(organisation__in=canaries())
    return rows


def open_issues() -> QuerySet[Issue]:
    rows: QuerySet[Issue] = Issue.objects.filter(status=Issue.Status.OPEN)
    return rows.exclude(organisation__in=canaries())
