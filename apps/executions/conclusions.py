"""Writes how a piece of work came out, whatever it was. What it was is told by `outcomes`."""

from __future__ import annotations

import logging

from django.db import DatabaseError

from apps.core import database
from apps.core.clock import clock
from apps.core.errors import NetraError
from apps.core.tenancy import tenant
from apps.core.transactions import is_failing
from apps.executions import actions, outcomes
from apps.executions.errors import ApprovalRequest, LeaseLostError, Refused
from apps.executions.leased import LeasedExecution
from apps.executions.outcomes import Again
from apps.executions.standing import RUNNER, Ending

log = logging.getLogger(__name__)

Conclusion = Ending | Again | ApprovalRequest | None


async def write(lease: LeasedExecution, conclusion: Conclusion) -> None:
    """End the execution, or put it back; None hands it to another runner."""
    if conclusion is None:
        await lease.hand_back()
    elif isinstance(conclusion, Again):
        await lease.try_again(conclusion.wait, conclusion.reason, conclusion.breaker)
    elif isinstance(conclusion, ApprovalRequest):
        await lease.pause(conclusion)
    else:
        await _finish(lease, conclusion)


async def _finish(lease: LeasedExecution, ending: Ending) -> None:
    """Write the end; one that cannot be stored becomes a failure that can, not a silence."""
    try:
        await lease.finish(ending)
    except LeaseLostError:
        raise
    except Exception as error:
        if is_failing(error):
            raise
        log.exception(
            "the end of execution %s could not be written as it was",
            lease.id,
            extra={"action": "execution.end_refused"},
        )
        await lease.finish(outcomes.unstorable(ending, error))


async def note(refused: Refused) -> None:
    """Keep that a move came too late."""
    now = clock.now()
    try:
        await database.write(
            tenant(refused.organisation_id),
            lambda: actions.note_refused_move(refused, actor=RUNNER, now=now),
        )
    except (DatabaseError, NetraError):
        log.warning(
            "a refused move could not be noted",
            exc_info=True,
            extra={"action": "execution.refused_move_lost"},
        )
