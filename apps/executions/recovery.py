"""Finds executions that nobody looks after, and brings each to pending or to an end.

It reads rows only: no bell, no broker, no memory of another process is needed.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from uuid import UUID

from django.db import close_old_connections

from apps.core import faults, sweeps
from apps.core.clock import clock
from apps.core.database import write_now
from apps.core.errors import Explanation
from apps.core.tenancy import system
from apps.core.transactions import is_failing
from apps.executions import actions, approvals, endings, queries
from apps.executions.errors import (
    AlreadyDecidedError,
    IllegalTransitionError,
    LeaseLostError,
)
from apps.executions.standing import SWEEPER, Ending, Standing
from apps.executions.states import ExecutionState

log = logging.getLogger(__name__)

SWEEP_SECONDS = 2.0  # between two looks for what ran out
TICK_SECONDS = 0.5
AT_ONCE = 200  # of one kind that a sweep handles
STOP_GRACE = timedelta(seconds=15)
QUEUE_LIMIT = timedelta(minutes=10)
SWEEP = system("sweeper: leases, deadlines and stops that ran out")


def sweep(now: datetime | None = None) -> int:
    """Handle every execution that ran out of something; returns how many moved."""
    now = now or clock.now()
    with SWEEP:
        found = [
            (queries.overdue(now), _end_overdue),
            (queries.lost(now), _recover),
            (queries.ignored_stops(now - STOP_GRACE), _end_stopped),
            (approvals.stopped(), _end_stopped),
            (approvals.unanswered(now), _go_on_refused),
            (queries.never_started(now - QUEUE_LIMIT), _end_unstarted),
        ]
    # The rest is found again: a crowd of one kind must not keep the others waiting.
    work = [(one, handle) for standings, handle in found for one in standings[:AT_ONCE]]
    return sum(_attempt(handle, standing, now) for standing, handle in work)


def recover_orphans(owner: UUID) -> int:
    """At the start of the only process: whatever is claimed by another boot has no runner."""
    now = clock.now()
    with SWEEP:
        orphans = queries.lost(now, except_owner=owner)
    return sum(_attempt(_recover, standing, now) for standing in orphans)


def _attempt(
    handle: Callable[[Standing, datetime], object], standing: Standing, now: datetime
) -> int:
    faults.reach("in_sweep")
    try:
        write_now(SWEEP, lambda: handle(standing, now))
    except (LeaseLostError, IllegalTransitionError, AlreadyDecidedError):
        return 0  # someone else moved it first, which is as good
    except Exception as error:
        if is_failing(error):
            raise
        # One that cannot be moved must not keep the others from it.
        log.exception(
            "execution %s could not be recovered",
            standing.id,
            extra={"action": "recovery.failed"},
        )
        return 0
    return 1


def _recover(standing: Standing, now: datetime) -> None:
    if standing.attempt < standing.max_attempts:
        actions.lose_lease(standing, now=now, reason="its runner was lost")
        return
    explanation = Explanation(
        "dead",
        f"Contact with the agent was lost {standing.attempt} times.",
        "Try again; support has been told.",
        retryable=True,
        values={"attempts": standing.attempt},
    )
    _end(standing, ExecutionState.DEAD, explanation, "LeaseExpired", now)


def _end_overdue(standing: Standing, now: datetime) -> None:
    explanation = Explanation(
        "timeout",
        f"The agent did not finish within {standing.timeout_seconds} seconds.",
        "Ask again, or ask a smaller question.",
        retryable=True,
        values={"seconds": standing.timeout_seconds, "tier": standing.tier},
    )
    _end(standing, ExecutionState.TIMEOUT, explanation, "DeadlinePassed", now)


def _end_stopped(standing: Standing, now: datetime) -> None:
    asked = queries.stop_requests([standing.id])
    by, reason = asked.get(standing.id, ("system", ""))
    explanation = Explanation(
        "cancelled", reason or "It was stopped.", "Ask again when you like."
    )
    _end(standing, ExecutionState.CANCELLED, explanation, "", now, by)


def _go_on_refused(standing: Standing, now: datetime) -> None:
    approvals.expire(standing, now=now)


def _end_unstarted(standing: Standing, now: datetime) -> None:
    minutes = int(QUEUE_LIMIT.total_seconds() // 60)
    if standing.waiting_for == "predecessor":
        why = "an earlier question was still being answered"
    elif queries.is_full(standing):
        why = "as many answers were under way as your plan allows at once"
    else:
        why = "no agent was free"
    explanation = Explanation(
        "queue_timeout",
        f"The agent could not start within {minutes} minutes: {why}.",
        "Try again in a few minutes.",
        retryable=True,
        values={"minutes": minutes},
    )
    _end(standing, ExecutionState.TIMEOUT, explanation, "NeverStarted", now)


def _end(
    standing: Standing,
    state: ExecutionState,
    explanation: Explanation,
    error_class: str,
    now: datetime,
    cancelled_by: str = "",
) -> None:
    ending = Ending(
        state=state,
        text=queries.partial_of(standing.id),
        explanation=explanation,
        error_class=error_class,
        cancelled_by=cancelled_by,
    )
    endings.finish(standing, ending, actor=SWEEPER, now=now, reason=explanation.message)


class Sweeper(threading.Thread):
    """Runs what is due of all registered sweeps, in a thread that a blocked loop does not delay."""

    def __init__(self, seconds: float = TICK_SECONDS) -> None:
        super().__init__(name="netra-sweeper", daemon=True)
        self._seconds = seconds
        self._ending = threading.Event()

    def run(self) -> None:
        while not self._ending.wait(self._seconds):
            try:
                sweeps.run_due()
            finally:
                close_old_connections()

    def close(self) -> None:
        self._ending.set()
        self.join(5)
