"""Executions whose work the calling code does itself, under a lease of its own.

No runner ever takes them: waiting, they have no time from which they may be claimed; claimed, they
have a single attempt, so that a caller who falls silent leaves them dead.
"""

from __future__ import annotations

from datetime import datetime
from uuid import UUID, uuid4

from django.db import IntegrityError, transaction

from apps.accounts.plans import PLANS, Tier
from apps.core.actors import Actor
from apps.core.errors import (
    ConflictError,
    Explanation,
    InvalidInputError,
    NotFoundError,
)
from apps.core.tenancy import Scope
from apps.executions import actions, endings, journal, moves, queries
from apps.executions.contexts import real_id
from apps.executions.models import Stream
from apps.executions.standing import Ending, Order, Standing
from apps.executions.states import TERMINAL, WORDS, ExecutionState

RUNNER = "caller"
ATTEMPTS = 1
AGENT_LENGTH = 64


def order(
    scope: Scope, *, tier: str, agent: str, thread_id: object, seconds: int | None
) -> Order:
    """What a caller wants to work on, checked; in a thread of its own where none is named."""
    if not agent.strip() or len(agent) > AGENT_LENGTH:
        raise InvalidInputError(
            f"{agent[:80]!r} is not an agent's name.",
            field="agent_name",
            fix=f"Use 1 to {AGENT_LENGTH} characters.",
        )
    stream_id = uuid4() if thread_id is None else real_id(thread_id, "thread_id")
    return Order(
        organisation_id=scope.tenant_id,
        user_id=scope.person_id,
        stream_id=stream_id,
        runner=RUNNER,
        agent=agent,
        tier=tier,
        timeout_seconds=_most_seconds(tier)
        if seconds is None
        else checked_seconds(seconds, tier),
        input={},
        max_attempts=ATTEMPTS,
    )


def checked_seconds(seconds: int, tier: str) -> int:
    """A time-out within the tier's; raises InvalidInputError for any other."""
    most = _most_seconds(tier)
    if type(seconds) is not int or not 1 <= seconds <= most:
        raise InvalidInputError(
            f"{seconds!r} is no time that an execution may have.",
            field="timeout_seconds",
            fix=f"Use a whole number of seconds from 1 to {most}.",
        )
    return seconds


def _most_seconds(tier: str) -> int:
    return PLANS[Tier(tier)].execution_seconds


def queue(wanted: Order, *, actor: Actor, now: datetime) -> Standing:
    """Write a pending execution that waits for its caller."""
    _own_stream(wanted)
    standing = actions.queue(actor=actor, order=wanted, now=now, ring=False)
    moves.touch(standing, now=now, values={"available_at": None})
    return standing


def advance(
    standing: Standing,
    target: ExecutionState,
    *,
    owner: UUID,
    actor: Actor,
    now: datetime,
    text: str = "",
    problem: str = "",
) -> Standing:
    """One step to `target`, by the action that belongs to it."""
    if target is ExecutionState.STARTING and standing.state is ExecutionState.PENDING:
        return _start(standing, owner=owner, now=now)
    if target is ExecutionState.PENDING:
        raise ConflictError(
            "An execution waits again only after its runner was lost or has handed it back.",
            fix="End it, and create another one.",
        )
    if target in TERMINAL:
        ending = _ending(target, text=text, problem=problem, actor=actor)
        return endings.finish(standing, ending, actor=actor, now=now)
    return moves.move(standing, target, actor=actor, now=now)


def _start(standing: Standing, *, owner: UUID, now: datetime) -> Standing:
    """Claim it for the caller, and announce that."""
    claimed = None
    if queries.has_room(standing):
        claimed = actions.claim(standing, owner=owner, now=now)
    if claimed is None:
        raise ConflictError(
            "It cannot start now: its thread is busy, or enough is at work already.",
            fix="Wait until another execution has ended.",
        )
    journal.append(
        organisation_id=claimed.organisation_id,
        stream_id=claimed.stream_id,
        drafts=actions.start_event(standing, claimed),
        now=now,
        execution_id=claimed.id,
        attempt=claimed.attempt,
    )
    return claimed


def _ending(state: ExecutionState, *, text: str, problem: str, actor: Actor) -> Ending:
    if state is ExecutionState.COMPLETED:
        return Ending(state=state, text=text)
    explanation = Explanation(
        state.value,
        problem or f"{WORDS[state]}.",
        "Look at what its caller says, then create another one.",
        retryable=True,
    )
    return Ending(
        state=state, text=text, explanation=explanation, cancelled_by=actor.kind.value
    )


def _own_stream(wanted: Order) -> None:
    """Open the order's stream where there is none; refuse another person's."""
    owner: object = (
        Stream.objects.filter(id=wanted.stream_id)
        .values_list("user_id", flat=True)
        .first()
    )
    if owner is None:
        try:
            with transaction.atomic():
                journal.open_stream(
                    stream_id=wanted.stream_id,
                    organisation_id=wanted.organisation_id,
                    user_id=wanted.user_id,
                )
        except IntegrityError:  # it is another organisation's
            owner = False
        else:
            return
    if owner != wanted.user_id:
        raise NotFoundError("There is no such thread.", field="thread_id")
