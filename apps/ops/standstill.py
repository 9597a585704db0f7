"""One sentence about an execution, as one would say it on the telephone: what it does, or waits for."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from django.db.models import Count, Q

from apps.core.templatetags.netra import lasted
from apps.executions.actions import LEASE
from apps.executions.concurrency import limits_of
from apps.executions.models import Approval, Execution, Transition
from apps.executions.queries import NOT_TAKEN
from apps.executions.runner import FENCE_SECONDS
from apps.executions.states import CLAIMED, ExecutionState
from apps.ops import timeline

S = ExecutionState
MISSED_BEAT = timedelta(seconds=15)


def sentence(
    execution: Execution,
    now: datetime,
    *,
    transitions: Sequence[Transition] = (),
    asked: Approval | None = None,
) -> str:
    """How it stands. `asked` is the approval that it waits for."""
    state = ExecutionState(execution.state)
    since = lasted((execution.finished_at or now) - execution.created_at)
    where = f" while {timeline.doing(execution.phase)}" if execution.phase else ""
    match state:
        case S.PENDING:
            queued = execution.started_at and not execution.waiting_for
            again = "Back in the queue, waiting" if queued else "Waiting"
            reason = _awaited(execution, now, asked)
            return f"{again} {reason}; asked for {since} ago."
        case S.STARTING | S.RUNNING | S.COMPLETING:
            return _at_work(execution, now, since, where)
        case S.COMPLETED:
            return f"Done in {since}."
        case S.FAILED:
            return f"Failed after {since}{where}."
        case S.TIMEOUT:
            return f"Took too long: ended after {since}{where}."
        case S.DEAD:
            times = f"{execution.attempt} time{'' if execution.attempt == 1 else 's'}"
            return f"Contact was lost {times}; given up after {since}."
    return f"Stopped by {_stopper(execution, transitions)} after {since}{where}."


def next_try(execution: Execution, now: datetime) -> timedelta | None:
    """How long until it may be claimed again; None unless it waits for that moment."""
    at = execution.available_at
    if execution.state != S.PENDING or execution.waiting_for or at is None or at <= now:
        return None
    return at - now


def silence(execution: Execution, now: datetime) -> timedelta | None:
    """How long ago the runner renewed its lease."""
    if execution.lease_expires_at is None:
        return None
    return max(now - (execution.lease_expires_at - LEASE), timedelta())


def _awaited(execution: Execution, now: datetime, asked: Approval | None) -> str:
    """What a pending execution waits for; what holds it back most comes first."""
    if execution.waiting_for == "predecessor":
        return "for the answer before it in the conversation"
    if execution.waiting_for == "approval":
        return _approval(asked, now)
    wait = next_try(execution, now)
    if wait is not None:
        which = f"attempt {execution.attempt} of {execution.max_attempts:,}"
        return f"to be tried again in {lasted(wait)}, {which}"
    return _place(execution, now)


def _approval(asked: Approval | None, now: datetime) -> str:
    if asked is None:
        return "for somebody's approval"
    left = asked.expires_at - now
    if left <= timedelta():
        return f"for somebody's approval of {asked.tool}, whose time is over"
    until = f"until {asked.expires_at:%H:%M} UTC, {lasted(left)} from now"
    return f"for somebody's approval of {asked.tool} {until}"


def _place(execution: Execution, now: datetime) -> str:
    """Why nobody claims it: its conversation or its limits are busy, or nobody looks."""
    of_same = Execution.objects.filter(
        organisation_id=execution.organisation_id, state__in=CLAIMED
    )
    busy: dict[str, int] = of_same.aggregate(
        all=Count("id"),
        person=Count("id", filter=Q(user_id=execution.user_id)),
        stream=Count("id", filter=Q(stream_id=execution.stream_id)),
    )
    if busy["stream"]:
        return "for another of its conversation, which is at work"
    limits = limits_of(execution.organisation_id)
    for most, count, whose in (
        (limits.user, busy["person"], "this person"),
        (limits.organisation, busy["all"], execution.organisation.name),
    ):
        if most is not None and count >= most:
            return f"for a place: {count} of {most} of {whose} are at work"
    free_since = execution.available_at or execution.created_at
    if now - free_since > NOT_TAKEN:
        waited = lasted(now - free_since)
        return f"for a runner: none took it for {waited}, so look whether one runs"
    return "for a runner"


def _at_work(execution: Execution, now: datetime, since: str, where: str) -> str:
    told = f"At work for {since}{where}"
    if execution.attempt > 1:
        told += f", attempt {execution.attempt} of {execution.max_attempts:,}"
    silent = silence(execution, now)
    if silent is not None and silent > MISSED_BEAT:
        return f"{told}. No sign of life for {lasted(silent)}{_given_up(silent)}."
    if execution.cancel_requested_at is not None:
        asked = lasted(now - execution.cancel_requested_at)
        return f"{told}. Asked to stop {asked} ago."
    return f"{told}."


def _given_up(silent: timedelta) -> str:
    """What a runner does that cannot renew: it stops by itself, then another one takes over."""
    if silent >= LEASE:
        return ": its lease is over, another runner may take it"
    left = lasted(LEASE - silent)
    if silent.total_seconds() > FENCE_SECONDS:
        return f": its runner should have given it up, another may take it in {left}"
    return f"; its lease ends in {left}"


def _stopper(execution: Execution, transitions: Sequence[Transition]) -> str:
    if execution.cancel_by:
        return {"user": "the person who asked", "staff": "support"}.get(
            execution.cancel_by, "the system"
        )
    return transitions[-1].actor_label if transitions else "somebody"
