"""Finds failures that no bell announced, and groups them. It reads rows only."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.utils import timezone

from apps.core.database import write_now
from apps.core.tenancy import system
from apps.issues import actions, queries
from apps.issues.actions import Failure

GROUPING = system("issues: grouping failures under one row of numbers")
WINDOW = timedelta(days=7)
BATCH = 200


def sweep(now: datetime | None = None) -> int:
    """Group what was missed in the last week; returns how many failures that were."""
    since = (now or timezone.now()) - WINDOW
    with GROUPING:
        missed = queries.failures_without_evidence(since, BATCH)
    for row in missed:
        group(Failure.of(row))
    return len(missed)


def group(failure: Failure) -> None:
    """One failure, in a short transaction of its own."""
    write_now(GROUPING, lambda: actions.record(failure))
