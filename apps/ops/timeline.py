"""From rows of attempts, phases and events to the steps of a waterfall."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from apps.executions.models import Attempt, Execution, PhaseEntry
from apps.executions.redaction import RedactedEvent
from apps.executions.states import Phase
from apps.ops.waterfall import INSTANT, Fate, Kind, Step, successive

PHASES: dict[Phase, tuple[str, str]] = {
    Phase.CREATED: ("Created", "being created"),
    Phase.WEBSOCKET_SETUP: ("Delivery set up", "delivery was set up"),
    Phase.CONTEXT_VALIDATION: ("Context checked", "its context was checked"),
    Phase.STARTING: ("Starting", "starting"),
    Phase.THINKING: ("Thinking", "thinking"),
    Phase.TOOL_PREPARATION: ("Preparing a tool", "preparing a tool"),
    Phase.LLM_INTERACTION: ("Talking to the model", "talking to the model"),
    Phase.TOOL_EXECUTION: ("Running tools", "running tools"),
    Phase.RESULT_PROCESSING: ("Working up the result", "working up the result"),
    Phase.COMPLETING: ("Writing the answer", "writing the answer"),
    Phase.COMPLETED: ("Completed", "completing"),
    Phase.FAILED: ("Failed", "failing"),
    Phase.TIMEOUT: ("Timed out", "its time ran out"),
    Phase.CIRCUIT_BREAKER_OPEN: ("Breaker open", "the breaker was open"),
}
WAITS = {
    "predecessor": "Waiting for the answer before",
    "approval": "Waiting for approval",
}
AGAIN = "failed, to be tried again"
SMOOTH = {"completed", "handed back", "cancelled", "paused"}
# What follows an attempt that ended so; a runner is waited for after any other.
FOLLOWS = {"paused": "Waiting for approval", AGAIN: "Waiting to be tried again"}


def doing(phase: str) -> str:
    """The phase as a part of a sentence."""
    return PHASES[Phase(phase)][1]


def steps(
    execution: Execution,
    attempts: Sequence[Attempt],
    phases: Sequence[PhaseEntry],
    events: Sequence[RedactedEvent],
) -> list[Step]:
    """Waiting, attempts, the phases of each, and the tools called in it, in order."""
    found: list[Step] = []
    free_since: datetime | None = execution.created_at
    label = "Waiting for a runner"
    for attempt in attempts:
        if free_since is not None:
            found.append(_wait(free_since, attempt.claimed_at, label))
        within = _within(attempt, phases, events)
        found += [_attempt(attempt), *sorted(within, key=_order)]
        free_since = attempt.ended_at
        label = FOLLOWS.get(attempt.outcome, "Waiting for a runner")
    return found + _last_wait(execution, free_since, label)


def _last_wait(execution: Execution, since: datetime | None, label: str) -> list[Step]:
    """What it waits for now, or waited for when it ended without another attempt."""
    end = execution.finished_at
    if since is None or (end is not None and end - since < INSTANT):
        return []
    return [_wait(since, end, WAITS.get(execution.waiting_for, label))]


def _order(step: Step) -> tuple[datetime, int]:
    return step.start, step.depth


def _wait(start: datetime, end: datetime | None, label: str) -> Step:
    fate = Fate.OPEN if end is None else Fate.DONE
    return Step(kind=Kind.WAIT, label=label, start=start, end=end, fate=fate)


def _attempt(attempt: Attempt) -> Step:
    return Step(
        kind=Kind.ATTEMPT,
        label=f"Attempt {attempt.number}",
        start=attempt.claimed_at,
        end=attempt.ended_at,
        fate=_fate(attempt),
        note="to be tried again" if attempt.outcome == AGAIN else attempt.outcome,
    )


def _fate(attempt: Attempt) -> Fate:
    if attempt.ended_at is None:
        return Fate.OPEN
    return Fate.DONE if attempt.outcome in SMOOTH else Fate.FAILED


def _within(
    attempt: Attempt, phases: Sequence[PhaseEntry], events: Sequence[RedactedEvent]
) -> list[Step]:
    own = [
        (PHASES[Phase(row.phase)][0], row.at)
        for row in phases
        if row.fence == attempt.fence
    ]
    passed = successive(own, attempt.ended_at, depth=1)
    if passed and _fate(attempt) is Fate.FAILED:
        passed[-1] = replace(passed[-1], fate=Fate.FAILED)
    return passed + _tools(attempt, events)


def _tools(attempt: Attempt, events: Sequence[RedactedEvent]) -> list[Step]:
    """Each call from its beginning to its result, within the time of this claim."""
    ended = {
        event.value("call_id"): event
        for event in events
        if event.type == "tool_completed" and event.attempt == attempt.number
    }
    return [
        _tool(event, ended.get(event.value("call_id")), attempt)
        for event in events
        if event.type == "tool_executing" and _during(event, attempt)
    ]


def _during(event: RedactedEvent, attempt: Attempt) -> bool:
    late = attempt.ended_at is not None and event.at > attempt.ended_at
    return (
        event.attempt == attempt.number and event.at >= attempt.claimed_at and not late
    )


def _tool(began: RedactedEvent, ended: RedactedEvent | None, attempt: Attempt) -> Step:
    label = f"Tool {began.value('tool') or 'without a plain name'}"
    if ended is None:
        over = attempt.ended_at is not None
        return Step(
            kind=Kind.TOOL,
            label=label,
            start=began.at,
            end=attempt.ended_at,
            fate=Fate.FAILED if over else Fate.OPEN,
            note="not finished" if over else "",
            depth=2,
        )
    status = ended.value("status")
    return Step(
        kind=Kind.TOOL,
        label=label,
        start=began.at,
        end=ended.at,
        fate=Fate.DONE if status == "ok" else Fate.FAILED,
        note="" if status == "ok" else status or "failed",
        depth=2,
    )
