"""What the user saw of one execution, told from the delivery ledger. Numbers and times, no content.

The ledger keeps how far each connection got and when that last changed. The time of the newest event
is exact; what came before it was there by then, at the latest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from apps.chat import queries
from apps.chat.models import Delivery
from apps.core.flags import Switch, enabled
from apps.core.templatetags.netra import lasted
from apps.executions.models import Execution
from apps.executions.redaction import RedactedEvent
from apps.executions.states import ALIVE, ExecutionState

CONNECTIONS = 20
JUST_NOW = timedelta(
    seconds=3
)  # the ledger is a second behind, a client's word another


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """When an event had reached somebody: then, or at the latest then."""

    at: datetime
    exact: bool

    def after(self, written: datetime) -> str:
        told = lasted(max(self.at - written, timedelta()))
        return told if self.exact else f"at most {told}"


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenEvent:
    """One event of the execution, and how it got to people."""

    seq: int
    type: str
    at: datetime
    sent: Reach | None
    shown: Reach | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What the inspector's section shows."""

    sentence: str
    connections: list[Delivery]
    events: list[SeenEvent]


def seen(execution: Execution, events: Sequence[RedactedEvent], now: datetime) -> Seen:
    """Who followed the conversation since the execution was asked for, and how far they got."""
    rows = queries.deliveries_of(execution.stream_id, execution.created_at, CONNECTIONS)
    told = [
        SeenEvent(
            seq=event.seq,
            type=event.type,
            at=event.at,
            sent=_first(_sending(rows, event.seq)),
            shown=_first(_showing(rows, event.seq)),
        )
        for event in events
    ]
    end = next((e for e, known in zip(told, events, strict=True) if known.final), None)
    return Seen(
        sentence=_sentence(execution, rows, told, end, now),
        connections=rows,
        events=told,
    )


def _sending(rows: Sequence[Delivery], seq: int) -> list[Reach]:
    return [
        Reach(at=row.sent_at, exact=row.sent_to == seq)
        for row in rows
        if row.began_after < seq <= row.sent_to and row.sent_at is not None
    ]


def _showing(rows: Sequence[Delivery], seq: int) -> list[Reach]:
    return [
        Reach(at=row.acknowledged_at, exact=row.acknowledged_to == seq)
        for row in rows
        if row.acknowledged_to >= seq and row.acknowledged_at is not None
    ]


def _first(reached: Sequence[Reach]) -> Reach | None:
    return min(reached, key=lambda reach: reach.at, default=None)


def _sentence(
    execution: Execution,
    rows: Sequence[Delivery],
    told: Sequence[SeenEvent],
    end: SeenEvent | None,
    now: datetime,
) -> str:
    who = execution.user.name or execution.user.email
    state = ExecutionState(execution.state)
    if not rows and not enabled(Switch.DELIVERY_LEDGER, execution.organisation_id):
        return "What is delivered is not being written down at present."
    if end is None:
        return _so_far(who, rows, told, alive=state in ALIVE)
    what = "the answer" if state is ExecutionState.COMPLETED else "the end"
    if end.shown is not None:
        return f"{who} saw {what} {end.shown.after(end.at)} after it was written."
    if end.sent is not None:
        took = end.sent.after(end.at)
        return (
            f"{who} was sent {what} {took} after it was written; "
            "no client has said that it was shown."
        )
    if now - end.at < JUST_NOW:
        return "It ended just now; who was sent the end is known in a few seconds."
    return "Nobody has been sent the end of this execution."


def _so_far(
    who: str, rows: Sequence[Delivery], told: Sequence[SeenEvent], *, alive: bool
) -> str:
    if not alive:
        return "Its events are no longer kept; who saw them cannot be told."
    if all(row.closed_at is not None for row in rows):
        return "Nobody is watching just now."
    sent, shown = (
        sum(event.sent is not None for event in told),
        sum(event.shown is not None for event in told),
    )
    return f"{who} is watching: {sent} of {len(told)} events sent, {shown} shown."
