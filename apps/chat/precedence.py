"""What becomes of a question that comes while its thread is busy: it waits, is refused, or goes first.

Decides and stops. Writing the question itself belongs to `actions`.
"""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from django.db import transaction

from apps.accounts.access import Principal
from apps.agents.access import ChosenAgent
from apps.agents.catalogue import WhileBusy
from apps.chat import queries
from apps.chat.limits import WAITING_PER_THREAD
from apps.core.actors import Actor
from apps.core.errors import ConflictError
from apps.executions import endings
from apps.executions import queries as executions
from apps.executions.errors import LeaseLostError
from apps.executions.standing import Standing
from apps.executions.states import ALIVE, CLAIMED

# What the person reads beside the stopped answer; the chat page knows the sentence too.
INTERRUPTED = "Stopped, because you sent another message."


class ThreadBusyError(ConflictError):
    """Too many messages wait in this thread."""

    code = "thread_busy"
    fix = "Wait for an answer, or stop the running one."


def must_wait(
    principal: Principal, agent: ChosenAgent, thread_id: UUID, now: datetime
) -> bool:
    """Whether a question for `agent` has to wait in its thread, once its policy was applied.

    The policy is that of the agent that is asked now. Raises ThreadBusyError where it refuses.
    """
    alive = queries.alive_count(principal.organisation_id, thread_id)
    if not alive:
        return False
    if agent.while_busy is WhileBusy.REJECT:
        raise ThreadBusyError(
            "An answer is being written; this agent takes one question at a time.",
            fix="Wait for the answer, or stop it; then ask again.",
            values={"agent": agent.name, "unanswered": alive, "limit": 1},
        )
    if agent.while_busy is WhileBusy.INTERRUPT:
        return _interrupt(principal.actor, thread_id, now)
    if alive > WAITING_PER_THREAD:
        raise ThreadBusyError(
            values={"waiting": alive - 1, "limit": WAITING_PER_THREAD}
        )
    return True


def _interrupt(actor: Actor, thread_id: UUID, now: datetime) -> bool:
    """Stop all that is alive in the thread; True when some of it needs time to end.

    Questions that still wait are older than the newest wish, so they end at once. An answer that
    is being completed arrives.
    """
    alive = executions.alive_in(thread_id)
    # Claimed ones first: their runners too lock the execution before the log.
    alive.sort(key=lambda standing: standing.state not in CLAIMED)
    going_on = [_stop(actor, standing, now) for standing in alive]
    return any(going_on)


def _stop(actor: Actor, standing: Standing, now: datetime) -> bool:
    """Cancel one execution, looking again once if it moved meanwhile; True while it lives."""
    try:
        return _cancel(actor, standing, now)
    except LeaseLostError:
        moved = executions.standing_of(standing.id)
    return moved is not None and moved.state in ALIVE and _cancel(actor, moved, now)


def _cancel(actor: Actor, standing: Standing, now: datetime) -> bool:
    # A savepoint: what was written before the row was found to have moved is taken back.
    with transaction.atomic():
        state = endings.cancel(
            actor=actor, standing=standing, reason=INTERRUPTED, now=now
        )
    return state in ALIVE
