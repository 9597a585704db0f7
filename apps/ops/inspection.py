"""What is known of one execution, put together for the inspector. Reads only, content masked."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from apps.audits.models import Receipt
from apps.chat.queries import last_delivery
from apps.core.content import quotes_masked
from apps.core.templatetags.netra import lasted
from apps.executions import redaction
from apps.executions.models import Attempt, Event, Execution, PhaseEntry, Transition
from apps.executions.redaction import RedactedEvent
from apps.executions.states import ALIVE, CLAIMED, ExecutionState
from apps.issues import queries as issues
from apps.issues.models import Issue
from apps.ops import content, ledgers, standstill, timeline
from apps.ops.ledgers import Ledgers
from apps.ops.seen import Seen, seen
from apps.ops.waterfall import Waterfall, waterfall

S = ExecutionState
ATTEMPTS = 50
MOVES = 200
RELATED = 12
FIVE = ("agent_started", "agent_thinking", "tool_executing", "tool_completed")
LAST = {
    S.FAILED: "agent_error",
    S.TIMEOUT: "agent_error",
    S.DEAD: "agent_error",
    S.CANCELLED: "agent_cancelled",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One number with its name."""

    label: str
    value: str
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspection:
    """Everything that the inspector shows of one execution at one moment."""

    execution: Execution
    now: datetime
    sentence: str
    figures: list[Figure]
    waterfall: Waterfall
    attempts: list[Attempt]
    transitions: list[Transition]
    events: list[RedactedEvent]
    event_count: int
    seen: Seen
    five: list[tuple[str, int]]
    receipt: Receipt | None
    receipt_words: str
    receipt_fix: str
    issue: Issue | None
    related: list[Execution]
    ledgers: Ledgers
    masks: list[tuple[str, str]]
    next_try: timedelta | None

    @property
    def alive(self) -> bool:
        return ExecutionState(self.execution.state) in ALIVE

    @property
    def went_wrong(self) -> bool:
        return bool(self.execution.error_code or self.receipt)

    @property
    def events_left_out(self) -> int:
        return max(0, self.event_count - len(self.events))

    @property
    def ticket(self) -> str:
        """The facts as text, to be pasted elsewhere."""
        row = self.execution
        lines = [
            f"Execution {row.pk}: {self.sentence}",
            f"State {row.state}, agent {row.agent}, attempt {row.attempt} of {row.max_attempts}",
            f"Organisation {row.organisation.slug}, tier {row.tier}, thread {row.stream_id}",
            f"Asked for {row.created_at:%Y-%m-%d %H:%M:%S} UTC",
        ]
        if row.error_code:
            lines.append(f"Error {row.error_code} {row.error_class}".strip())
        if row.receipt_id:
            lines.append(f"Receipt {row.receipt_id}")
        if self.issue:
            lines.append(f"Issue #{self.issue.number}")
        return "\n".join(lines)


def find(execution_id: str) -> Execution | None:
    """The execution with that id; None for absent ids and for what is no id."""
    try:
        wanted = UUID(execution_id)
    except ValueError:
        return None
    rows = Execution.objects.select_related("organisation", "user")
    found: Execution | None = rows.filter(pk=wanted).first()
    return found


def fresh(execution: Execution) -> tuple[object, ...]:
    """What changes whenever the page would show something else, in three small queries."""
    events = Event.objects.filter(execution_id=execution.pk).count()
    phases = PhaseEntry.objects.filter(execution_id=execution.pk).count()
    return (
        execution.version,
        execution.updated_at,
        execution.lease_expires_at,
        execution.cancel_requested_at,
        events,
        phases,
        *last_delivery(execution.stream_id),
    )


def inspect(execution: Execution, now: datetime) -> Inspection:
    """Read everything around an execution."""
    newest = Attempt.objects.filter(execution_id=execution.pk).order_by("-fence")
    attempts = list(newest[:ATTEMPTS])[::-1]
    moves = Transition.objects.filter(execution_id=execution.pk).order_by("-n")
    transitions = list(moves[:MOVES])[::-1]
    phases = _phases(execution.pk, attempts)
    events = redaction.redacted(execution.pk)
    kept = ledgers.ledgers_of(execution, now)
    receipt = _receipt(execution)
    count = len(events)
    if count == redaction.EVENTS:
        count = Event.objects.filter(execution_id=execution.pk).count()
    return Inspection(
        execution=execution,
        now=now,
        sentence=standstill.sentence(
            execution, now, transitions=transitions, asked=kept.asked
        ),
        figures=_figures(execution, now, transitions, count),
        waterfall=waterfall(
            timeline.steps(execution, attempts, phases, events),
            start=execution.created_at,
            end=execution.finished_at,
            now=now,
            deadline=execution.deadline_at,
        ),
        attempts=attempts,
        transitions=transitions,
        events=events,
        event_count=count,
        seen=seen(execution, events, now),
        five=_five(execution, events),
        receipt=receipt,
        receipt_words=quotes_masked(receipt.explanation) if receipt else "",
        receipt_fix=quotes_masked(receipt.fix) if receipt else "",
        issue=issues.issue_of(execution.pk),
        related=_related(execution),
        ledgers=kept,
        masks=content.sizes_of(execution),
        next_try=standstill.next_try(execution, now),
    )


def _figures(
    execution: Execution,
    now: datetime,
    transitions: Sequence[Transition],
    events: int,
) -> list[Figure]:
    spent = _spent(transitions, execution.finished_at or now)
    first = execution.first_token_at
    alive = ExecutionState(execution.state) in ALIVE
    total = (execution.finished_at or now) - execution.created_at
    return [
        Figure(label="Queued", value=lasted(spent[S.PENDING])),
        Figure(label="Starting", value=_if_any(spent[S.STARTING])),
        Figure(label="Running", value=_if_any(spent[S.RUNNING])),
        Figure(
            label="First token",
            value=lasted(first - execution.created_at) if first else "–",
            note="after asking",
        ),
        Figure(label="So far" if alive else "Total", value=lasted(total)),
        Figure(
            label="Tokens",
            value=f"{execution.input_tokens:,} / {execution.output_tokens:,}",
            note="in / out",
        ),
        Figure(label="Cost", value=f"${execution.cost_usd:,.4f}"),
        Figure(
            label="Attempt",
            value=f"{execution.attempt} of {execution.max_attempts:,}",
            note=f"claimed {execution.fence} time{'' if execution.fence == 1 else 's'}",
        ),
        Figure(label="Events", value=f"{events:,}", note="in the log"),
        *_lease(execution, now),
    ]


def _lease(execution: Execution, now: datetime) -> list[Figure]:
    silent = standstill.silence(execution, now)
    if ExecutionState(execution.state) not in CLAIMED or silent is None:
        return []
    assert execution.lease_expires_at is not None
    left = execution.lease_expires_at - now
    ends = f"in {lasted(left)}" if left > timedelta() else "passed"
    figures = [
        Figure(
            label="Heartbeat", value=f"{lasted(silent)} ago", note=f"lease end {ends}"
        )
    ]
    if execution.deadline_at is not None and execution.deadline_at > now:
        left = execution.deadline_at - now
        figures.append(
            Figure(label="Time left", value=lasted(left), note="to the limit")
        )
    return figures


def _spent(
    transitions: Sequence[Transition], end: datetime
) -> dict[ExecutionState, timedelta]:
    """How long it was in each state, all attempts together."""
    spent: dict[ExecutionState, timedelta] = defaultdict(timedelta)
    ends = [row.at for row in transitions[1:]] + [end]
    for row, until in zip(transitions, ends, strict=False):
        spent[ExecutionState(row.to_state)] += max(until - row.at, timedelta())
    return spent


def _if_any(spent: timedelta) -> str:
    return lasted(spent) if spent else "–"


def _five(
    execution: Execution, events: Sequence[RedactedEvent]
) -> list[tuple[str, int]]:
    """The five events that people wait for, and how often each is in the log."""
    last = LAST.get(ExecutionState(execution.state), "agent_completed")
    kinds = [event.type for event in events]
    return [(name, kinds.count(name)) for name in (*FIVE, last)]


def _phases(execution_id: UUID, attempts: Sequence[Attempt]) -> list[PhaseEntry]:
    rows = PhaseEntry.objects.filter(
        execution_id=execution_id, fence__in=[attempt.fence for attempt in attempts]
    )
    return list(rows.order_by("fence", "n"))


def _receipt(execution: Execution) -> Receipt | None:
    if execution.receipt_id is None:
        return None
    found: Receipt | None = Receipt.objects.filter(pk=execution.receipt_id).first()
    return found


def _related(execution: Execution) -> list[Execution]:
    """The newest executions of the same conversation."""
    rows = Execution.objects.filter(stream_id=execution.stream_id)
    return list(rows.exclude(pk=execution.pk).order_by("-created_at")[:RELATED])
