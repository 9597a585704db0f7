"""Asking a person before an execution goes on: ask, decide, and what becomes of no answer.

A paused execution is pending, holds no lease and no slot. Who may decide is told by the doors.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from apps.core.actors import Actor, ActorKind
from apps.core.errors import NotFoundError
from apps.core.events import publish
from apps.executions import journal, queries
from apps.executions.actions import close_attempt
from apps.executions.errors import AlreadyDecidedError, ApprovalRequest
from apps.executions.events import ExecutionQueued
from apps.executions.journal import Draft
from apps.executions.models import Approval, Execution
from apps.executions.moves import keys_of, move, touch
from apps.executions.standing import RUNNER, SWEEPER, Standing
from apps.executions.states import EventType, ExecutionState

WAIT = timedelta(hours=1)  # for an answer, before its absence counts as a refusal
APPROVAL = "approval"  # what `waiting_for` says meanwhile


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a person said."""

    call_id: str
    approve: bool
    comment: str = ""


def ask(
    standing: Standing,
    request: ApprovalRequest,
    *,
    now: datetime,
    drafts: Sequence[Draft] = (),
) -> Standing:
    """Pause a claimed execution until somebody answers.

    The next claim streams from the beginning, so it is an attempt of its own, at no cost.
    """
    attempt, limit = standing.attempt + 1, standing.max_attempts + 1
    close_attempt(standing, outcome="paused", now=now)
    moved = move(
        standing,
        ExecutionState.PENDING,
        actor=RUNNER,
        now=now,
        reason="waits for an approval",
        values={
            "waiting_for": APPROVAL,
            "available_at": None,
            "attempt": attempt,
            "max_attempts": limit,
        },
    )
    asked: Approval = Approval.objects.create(
        **keys_of(standing),
        call_id=request.call_id,
        tool=request.tool,
        arguments=dict(request.arguments),
        reason=request.reason[:300],
        asked_at=now,
        expires_at=now + WAIT,
    )
    payload = {
        "call_id": request.call_id,
        "tool": request.tool,
        "arguments": dict(request.arguments),
        "reason": request.reason[:300],
        "expires_at": asked.expires_at.isoformat(),
    }
    _tell(
        standing,
        now,
        *drafts,
        Draft(type=EventType.APPROVAL_REQUESTED, payload=payload),
    )
    return replace(moved, attempt=attempt, max_attempts=limit, waiting_for=APPROVAL)


def decide(
    standing: Standing, answer: Answer, *, actor: Actor, now: datetime
) -> Standing:
    """Write the answer, once, and let the execution go on.

    Raises NotFoundError for a call that nobody asked about, AlreadyDecidedError for a second answer.
    """
    asked = Approval.objects.filter(execution_id=standing.id, call_id=answer.call_id)
    row: Approval | None = asked.first()
    if row is None:
        raise NotFoundError("Nothing was asked about this call.", field="call_id")
    if row.decided_at is not None:
        raise AlreadyDecidedError(field="call_id")
    return _release(standing, row, answer, actor=actor, now=now)


def expire(standing: Standing, *, now: datetime) -> Standing:
    """Nobody answered in time: as good as a refusal, and said to be nobody's."""
    row = _open_of(standing)
    answer = Answer(call_id=row.call_id, approve=False, comment="Nobody answered.")
    return _release(standing, row, answer, actor=SWEEPER, now=now)


def withdraw(standing: Standing, *, now: datetime) -> None:
    """The execution ends while it waits: nobody's answer is wanted any more."""
    rows = Approval.objects.filter(execution_id=standing.id, decided_at=None)
    rows.update(decided_at=now, approved=False, comment="The execution ended.")


def unanswered(now: datetime) -> list[Standing]:
    """Paused executions whose time for an answer has passed."""
    late = Approval.objects.filter(decided_at=None, expires_at__lte=now)
    return _paused(id__in=late.values("execution_id"))


def stopped() -> list[Standing]:
    """What was asked to stop in the moment in which it paused, or was put back to try again."""
    rows = Execution.objects.filter(state=ExecutionState.PENDING)
    return queries.standings(rows.filter(cancel_requested_at__isnull=False))


def _paused(**which: object) -> list[Standing]:
    waiting = {"state": ExecutionState.PENDING, "waiting_for": APPROVAL}
    return queries.standings(Execution.objects.filter(**waiting, **which))


def _open_of(standing: Standing) -> Approval:
    rows = Approval.objects.filter(execution_id=standing.id, decided_at=None)
    row: Approval | None = rows.first()
    if row is None:
        raise AlreadyDecidedError(f"Nothing is open about execution {standing.id}.")
    return row


def _release(
    standing: Standing, row: Approval, answer: Answer, *, actor: Actor, now: datetime
) -> Standing:
    """Execution first, then the answer: the order in which everybody locks."""
    waited = max(now - row.asked_at, timedelta(0))
    deadline = standing.deadline_at + waited if standing.deadline_at else None
    values = {"waiting_for": "", "available_at": now, "deadline_at": deadline}
    touch(standing, now=now, values=values)
    answered = Approval.objects.filter(id=row.pk, decided_at=None).update(
        decided_at=now,
        approved=answer.approve,
        decided_by=actor.id,
        decided_label=actor.label if actor.kind is not ActorKind.SYSTEM else "",
        comment=answer.comment[:300],
    )
    if not answered:
        raise AlreadyDecidedError(field="call_id")
    payload: dict[str, object] = {
        "call_id": row.call_id,
        "approved": answer.approve,
        "by": actor.kind.value,
    }
    if answer.comment:
        payload["reason"] = answer.comment[:300]
    _tell(standing, now, Draft(type=EventType.APPROVAL_DECIDED, payload=payload))
    publish(ExecutionQueued(**keys_of(standing)))
    return replace(standing, waiting_for="", deadline_at=deadline)


def _tell(standing: Standing, now: datetime, *drafts: Draft) -> None:
    """Number the events; they belong to the attempt that watchers know, not to the one to come."""
    journal.append(
        organisation_id=standing.organisation_id,
        stream_id=standing.stream_id,
        drafts=drafts,
        now=now,
        execution_id=standing.id,
        attempt=standing.announced_attempt,
    )
