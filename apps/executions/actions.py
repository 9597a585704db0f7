"""What is done with an execution while it lives: queue, claim, renew, stop, hand back."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import asdict, replace
from datetime import datetime, timedelta
from uuid import UUID

from django.conf import settings
from django.db import IntegrityError, transaction

from apps.core import sql
from apps.core.actors import Actor
from apps.core.clock import clock
from apps.core.events import publish
from apps.executions.errors import LeaseLostError, Refused
from apps.executions.events import ExecutionCancelRequested, ExecutionQueued
from apps.executions.journal import Draft
from apps.executions.models import (
    Attempt,
    Content,
    Execution,
    RefusedMove,
    Transition,
)
from apps.executions.moves import keys_of, move, touch, transition_row
from apps.executions.standing import (
    RUNNER,
    STANDING_COLUMNS,
    SWEEPER,
    Order,
    Standing,
)
from apps.executions.states import (
    ALIVE,
    CLAIMED,
    EventType,
    ExecutionState,
)

LEASE = timedelta(seconds=settings.NETRA_LEASE_SECONDS)

S = ExecutionState


def queue(
    *, actor: Actor, order: Order, now: datetime | None = None, ring: bool = True
) -> Standing:
    """Write a pending execution with its content and first transition.

    Rings `ExecutionQueued` unless the caller claims it in the same unit.
    """
    now = now or clock.now()
    standing = Standing.ordered(order)
    row = {name: getattr(standing, name) for name in STANDING_COLUMNS} | {
        "phase": "",
        "retry_of": order.retry_of,
        "available_at": now,
        "created_at": now,
        "updated_at": now,
    }
    sql.insert(Execution, [row])
    sql.insert(Content, [keys_of(standing) | {"input": dict(order.input)}])
    first = transition_row(standing, "", S.PENDING, 1, actor, now, "queued")
    sql.insert(Transition, [first])
    if ring:
        publish(ExecutionQueued(**keys_of(standing)))
    return standing


def claim(
    standing: Standing, *, owner: UUID, now: datetime | None = None
) -> Standing | None:
    """Take a pending execution for `owner`: new fence, new lease. None when it waits or is taken."""
    if standing.waiting_for:
        return None
    now = now or clock.now()
    token = uuid.uuid4()
    deadline = standing.deadline_at or now + timedelta(seconds=standing.timeout_seconds)
    claimed = replace(
        standing,
        fence=standing.fence + 1,
        lease_token=token,
        started_at=standing.started_at or now,
        deadline_at=deadline,
        announced_attempt=standing.attempt,
        phase=None,
        phases=0,
    )
    values = {
        "fence": claimed.fence,
        "lease_token": token,
        "lease_expires_at": now + LEASE,
        "owner": owner,
        "started_at": claimed.started_at,
        "deadline_at": deadline,
        "announced_attempt": standing.attempt,
        "waiting_for": "",
    }
    try:
        with transaction.atomic():
            moved = move(
                standing,
                S.STARTING,
                actor=RUNNER,
                now=now,
                reason="claimed",
                values=values,
            )
    except (LeaseLostError, IntegrityError):
        return None
    _open_attempt(claimed, owner=owner, now=now)
    return replace(claimed, state=moved.state, version=moved.version)


def start_event(before: Standing, claimed: Standing) -> list[Draft]:
    """What a claim announces: the first one agent_started, a later attempt attempt_started."""
    if before.announced_attempt == 0:
        payload = {
            "agent": claimed.agent,
            "attempt": claimed.attempt,
            "status": "started",
        }
        return [Draft(type=EventType.AGENT_STARTED, payload=payload)]
    if claimed.attempt > before.announced_attempt:
        payload = {
            "attempt": claimed.attempt,
            "reason": "the work begins again",
        }
        return [Draft(type=EventType.ATTEMPT_STARTED, payload=payload)]
    return []


def beat(
    *, owner: UUID, holds: Mapping[UUID, UUID], now: datetime | None = None
) -> set[UUID]:
    """Renew the leases of one process in one statement; returns the ids it still holds."""
    if not holds:
        return set()
    now = now or clock.now()
    held = Execution.objects.filter(
        owner=owner,
        id__in=list(holds),
        lease_token__in=list(holds.values()),
        state__in=CLAIMED,
    )
    held.update(lease_expires_at=now + LEASE)
    return set(held.values_list("id", flat=True))


def checkpoint(
    standing: Standing, *, text: str, first_token_at: datetime | None, now: datetime
) -> None:
    """Keep the text so far for those who reconnect; at most once a second, fenced."""
    touch(standing, now=now, values={"first_token_at": first_token_at})
    sql.swap(Content, where=keys_of(standing), values={"partial": text})


def complete_input(
    *, standing: Standing, values: Mapping[str, object], now: datetime
) -> Standing:
    """Release an execution that waited for its predecessor, with the conversation as it is now."""
    touch(standing, now=now, values={"waiting_for": "", "available_at": now})
    sql.swap(Content, where=keys_of(standing), values={"input": dict(values)})
    publish(ExecutionQueued(**keys_of(standing)))
    return replace(standing, waiting_for="")


def request_cancel(
    *, actor: Actor, standing: Standing, reason: str, now: datetime
) -> None:
    """Ask the runner of a claimed execution to stop; it answers within a second."""
    sql.swap(
        Execution,
        where={
            "id": standing.id,
            "organisation_id": standing.organisation_id,
            "cancel_requested_at": None,
        },
        where_in={"state": [state.value for state in ALIVE]},
        values={
            "cancel_requested_at": now,
            "cancel_by": actor.kind.value,
            "cancel_reason": reason[:300],
            "updated_at": now,
        },
    )
    publish(ExecutionCancelRequested(**keys_of(standing)))


def lose_lease(standing: Standing, *, now: datetime, reason: str) -> Standing:
    """Put a claimed execution whose runner is gone back to pending, one attempt later."""
    values = {"attempt": standing.attempt + 1, "available_at": now}
    close_attempt(standing, outcome="lost", now=now)
    moved = move(
        standing, S.PENDING, actor=SWEEPER, now=now, reason=reason, values=values
    )
    publish(ExecutionQueued(**keys_of(standing)))
    return replace(moved, attempt=standing.attempt + 1)


def try_again(
    standing: Standing,
    *,
    now: datetime,
    wait: timedelta,
    reason: str,
    breaker: str = "",
) -> Standing:
    """Put an execution that failed for a passing reason back to pending, to start again after `wait`."""
    attempt = standing.attempt + 1
    close_attempt(standing, outcome="failed, to be tried again", now=now)
    moved = move(
        standing,
        S.PENDING,
        actor=RUNNER,
        now=now,
        reason=reason,
        values={"attempt": attempt, "available_at": now + wait, "breaker": breaker},
    )
    publish(ExecutionQueued(**keys_of(standing)))
    return replace(moved, attempt=attempt)


def hand_back(standing: Standing, *, now: datetime) -> Standing:
    """Return a claimed execution to pending at shutdown, for someone else to go on.

    The next claim streams from the beginning, so it is an attempt of its own, and one that
    costs nothing: the limit rises with it.
    """
    close_attempt(standing, outcome="handed back", now=now)
    attempt, limit = standing.attempt + 1, standing.max_attempts + 1
    moved = move(
        standing,
        S.PENDING,
        actor=RUNNER,
        now=now,
        reason="handed back",
        values={"available_at": now, "attempt": attempt, "max_attempts": limit},
    )
    publish(ExecutionQueued(**keys_of(standing)))
    return replace(moved, attempt=attempt, max_attempts=limit)


def note_refused_move(refused: Refused, *, actor: Actor, now: datetime) -> None:
    """Keep that a move was refused, once for each kind: support sees who tried what too late."""
    facts = asdict(refused)
    if not RefusedMove.objects.filter(**facts).exists():
        row = facts | {"actor_label": actor.label, "at": now}
        sql.insert(RefusedMove, [row])


def _open_attempt(claimed: Standing, *, owner: UUID, now: datetime) -> None:
    """Note a claim; the text that an earlier one left is void."""
    attempt = {
        "fence": claimed.fence,
        "number": claimed.attempt,
        "owner": owner,
        "claimed_at": now,
    }
    sql.insert(Attempt, [keys_of(claimed) | attempt])
    if claimed.fence > 1:
        sql.swap(Content, where=keys_of(claimed), values={"partial": ""})


def close_attempt(standing: Standing, *, outcome: str, now: datetime) -> None:
    """End the open attempt of the present claim."""
    where = keys_of(standing) | {"fence": standing.fence, "ended_at": None}
    sql.swap(Attempt, where=where, values={"ended_at": now, "outcome": outcome})
