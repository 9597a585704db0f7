"""How executions end: finish and cancel, on top of the one function that moves them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from apps.audits import receipts
from apps.core import faults, sql
from apps.core.actors import Actor
from apps.core.clock import clock
from apps.core.errors import Explanation
from apps.core.events import publish
from apps.executions import approvals, journal, queries, sealing
from apps.executions.actions import close_attempt, request_cancel
from apps.executions.events import ExecutionFinished
from apps.executions.journal import Draft
from apps.executions.models import Content
from apps.executions.moves import move
from apps.executions.standing import Ending, Standing
from apps.executions.states import CLAIMED, TERMINAL_EVENTS, ExecutionState

S = ExecutionState
_TO_COMPLETED = {
    S.STARTING: (S.RUNNING, S.COMPLETING, S.COMPLETED),
    S.RUNNING: (S.COMPLETING, S.COMPLETED),
    S.COMPLETING: (S.COMPLETED,),
}


def finish(
    standing: Standing,
    ending: Ending,
    *,
    actor: Actor,
    now: datetime,
    reason: str = "",
    drafts: Sequence[Draft] = (),
) -> Standing:
    """Bring an execution to its end: state, content, receipt, reply and terminal event at once."""
    path: tuple[ExecutionState, ...] = (ending.state,)
    if ending.state is S.COMPLETED:
        path = _TO_COMPLETED.get(standing.state, path)
    receipt_id = _receipt(standing, ending, now)
    values = _columns(standing, ending) | {"receipt_id": receipt_id}
    if standing.state in CLAIMED:
        close_attempt(standing, outcome=ending.state.value, now=now)
    moved = move(standing, *path, actor=actor, now=now, reason=reason, values=values)
    if standing.waiting_for == approvals.APPROVAL:
        approvals.withdraw(standing, now=now)
    where = {"execution_id": standing.id, "organisation_id": standing.organisation_id}
    sql.swap(
        Content,
        where=where,
        values={
            "output": ending.text,
            "partial": "",
            "error_detail": ending.error_detail,
        },
    )
    faults.reach("in_finish")
    faults.reach_once_committed("finished")
    publish(_finished(standing, ending, now))
    terminal = Draft(
        type=TERMINAL_EVENTS[ending.state],
        payload=_terminal_payload(standing, ending, receipt_id, now),
        final=True,
    )
    journal.append(
        organisation_id=standing.organisation_id,
        stream_id=standing.stream_id,
        drafts=[*drafts, terminal],
        now=now,
        execution_id=standing.id,
        attempt=standing.attempt,
    )
    sealing.seal(moved, actor=actor)
    return moved


def cancel(
    *, actor: Actor, standing: Standing, reason: str, now: datetime | None = None
) -> ExecutionState:
    """Stop an execution: at once while it waits, by request while it runs; returns its state then.

    A cancel that meets `completing` or a terminal state loses and changes nothing.
    """
    now = now or clock.now()
    if standing.state is S.PENDING:
        ending = Ending(
            state=S.CANCELLED,
            text=queries.partial_of(standing.id) if standing.fence else "",
            cancelled_by=actor.kind.value,
            explanation=Explanation(
                "cancelled",
                reason or "It was stopped before it started.",
                "Ask again when you like.",
            ),
        )
        ended = finish(
            standing,
            ending,
            actor=actor,
            now=now,
            reason=reason or "cancelled while waiting",
        )
        sealing.note_cancel(standing, actor=actor, reason=reason)
        return ended.state
    if standing.state in {S.STARTING, S.RUNNING}:
        request_cancel(actor=actor, standing=standing, reason=reason, now=now)
        sealing.note_cancel(standing, actor=actor, reason=reason)
    return standing.state


def _columns(standing: Standing, ending: Ending) -> dict[str, object]:
    """What the execution's own row says about its end."""
    explanation = None if ending.state is S.COMPLETED else ending.explanation
    usage = ending.usage
    values: dict[str, object] = {
        "error_code": explanation.code if explanation else "",
        "error_class": ending.error_class,
        "model": usage.model,
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "cost_usd": usage.cost_usd,
        "phase": standing.phase or "",
    }
    if ending.breaker:
        values["breaker"] = ending.breaker
    if ending.first_token_at is not None:
        values["first_token_at"] = ending.first_token_at
    return values


def _receipt(standing: Standing, ending: Ending, now: datetime) -> UUID | None:
    if ending.explanation is None:
        return None
    refusal = receipts.Refusal(
        organisation_id=standing.organisation_id,
        user_id=standing.user_id,
        code=ending.explanation.code,
        explanation=ending.explanation.message,
        fix=ending.explanation.fix,
        rule=f"execution ends as {ending.state.value}",
        values=ending.explanation.values,
        correlation_id=str(standing.id),
    )
    return receipts.create(refusal, now=now)


def _finished(standing: Standing, ending: Ending, now: datetime) -> ExecutionFinished:
    return ExecutionFinished(
        execution_id=standing.id,
        organisation_id=standing.organisation_id,
        user_id=standing.user_id,
        stream_id=standing.stream_id,
        reply_id=standing.reply_id,
        agent=standing.agent,
        state=ending.state,
        text=ending.text,
        partial=ending.state is not S.COMPLETED,
        error_code=ending.explanation.code if ending.explanation else "",
        error_class=ending.error_class,
        at=now,
        usage=ending.usage,
    )


def _terminal_payload(
    standing: Standing, ending: Ending, receipt_id: UUID | None, now: datetime
) -> dict[str, object]:
    kept: dict[str, object] = {}
    if ending.text and standing.reply_id is not None:
        kept = {"message_id": str(standing.reply_id), "text": ending.text}
    explanation = ending.explanation
    if ending.state is S.COMPLETED or explanation is None:
        usage = ending.usage
        return {
            "agent": standing.agent,
            "final": True,
            "message_id": str(standing.reply_id) if standing.reply_id else None,
            "text": ending.text,
            "usage": {
                "input_tokens": usage.input_tokens,
                "output_tokens": usage.output_tokens,
                "cost_usd": usage.cost_usd,
            },
            "ms": int((now - standing.started_at).total_seconds() * 1000)
            if standing.started_at
            else 0,
            "quality": ending.quality,
        }
    if ending.state is S.CANCELLED:
        return {
            "final": True,
            "by": ending.cancelled_by,
            "reason": explanation.message,
            **kept,
        }
    return {
        "final": True,
        "state": ending.state.value,
        "code": explanation.code,
        "message": explanation.message,
        "fix": explanation.fix,
        "receipt_id": str(receipt_id),
        "retryable": explanation.retryable,
        **kept,
    }
