"""What must hold of every execution and stream at any moment, checked from the rows alone.

    assert violations() == []

I1 gapless logs, I2 unique events, I4 legal histories, I5 one terminal event and it is the last,
I6 attempts in order, I7 one claim at a time, I8 nothing outlives its deadline. (Decisions 15.)
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import pairwise

from apps.core.tenancy import system
from apps.executions.actions import LEASE
from apps.executions.models import (
    Attempt,
    Event,
    Execution,
    PhaseEntry,
    Stream,
    Transition,
)
from apps.executions.recovery import SWEEP_SECONDS
from apps.executions.states import (
    CLAIMED,
    TERMINAL,
    TERMINAL_EVENTS,
    ExecutionState,
    Phase,
    allows,
    allows_phase,
)

SCOPE = system("tests: invariants")


def violations(now: datetime | None = None) -> list[str]:
    """One line for each thing that is not as it must be."""
    with SCOPE:
        found = [line for stream in Stream.objects.all() for line in _stream(stream)]
        found += _unique_events()
        for execution in Execution.objects.all():
            found += _history(execution)
            found += _end(execution)
            found += _attempts(execution)
            found += _phases(execution)
            if now is not None:
                found += _deadline(execution, now)
    return found


def _stream(stream: Stream) -> Iterator[str]:
    seqs = list(
        Event.objects.filter(stream=stream)
        .order_by("seq")
        .values_list("seq", flat=True)
    )
    if seqs != list(range(stream.first_kept, stream.last + 1)):
        yield f"I1 stream {stream.pk} has {seqs}, not {stream.first_kept}..{stream.last}"


def _unique_events() -> list[str]:
    uids = Counter(Event.objects.values_list("event_uid", flat=True))
    return [f"I2 event {uid} is there {n} times" for uid, n in uids.items() if n > 1]


def _history(execution: Execution) -> Iterator[str]:
    rows = list(Transition.objects.filter(execution=execution).order_by("n"))
    name = f"execution {execution.pk}"
    if [row.n for row in rows] != list(range(1, execution.version + 1)):
        yield f"I4 {name} has transitions {[row.n for row in rows]}, version {execution.version}"
    if (
        not rows
        or rows[0].to_state != "pending"
        or rows[-1].to_state != execution.state
    ):
        yield f"I4 {name} is {execution.state}, its history says otherwise"
    for before, after in pairwise(rows):
        source, target = (
            ExecutionState(after.from_state),
            ExecutionState(after.to_state),
        )
        if before.to_state != after.from_state or not allows(source, target):
            yield f"I4 {name} went from {before.to_state} over {source} to {target}"
        if after.fence < before.fence:
            yield f"I7 {name} was moved at fence {after.fence} after {before.fence}"
    ends = [row for row in rows if ExecutionState(row.to_state) in TERMINAL]
    if len(ends) > 1:
        yield f"I4 {name} ended {len(ends)} times"


def _end(execution: Execution) -> Iterator[str]:
    events = list(Event.objects.filter(execution=execution).order_by("seq"))
    finals = [event for event in events if event.final]
    state, name = ExecutionState(execution.state), f"execution {execution.pk}"
    if state in TERMINAL:
        if len(finals) != 1 or events[-1] != finals[0]:
            yield f"I5 {name} is {state} with events {[(e.seq, e.final) for e in events]}"
        elif finals[0].type != TERMINAL_EVENTS[state]:
            yield f"I5 {name} is {state}, its last event {finals[0].type}"
    elif finals:
        yield f"I5 {name} is {state} and has a terminal event"
    attempts = [event.attempt for event in events if event.attempt]
    if attempts != sorted(attempts):
        yield f"I6 {name} has events of attempts {attempts}"


def _attempts(execution: Execution) -> Iterator[str]:
    rows = list(Attempt.objects.filter(execution=execution).order_by("fence"))
    still_open = [row.fence for row in rows if row.ended_at is None]
    claimed = ExecutionState(execution.state) in CLAIMED
    name = f"execution {execution.pk}"
    if still_open != ([execution.fence] if claimed else []):
        yield f"I7 {name} is {execution.state} at fence {execution.fence}, open: {still_open}"
    if [row.fence for row in rows] != list(range(1, execution.fence + 1)):
        yield f"I7 {name} has claims {[row.fence for row in rows]}, fence {execution.fence}"
    if claimed != (execution.lease_token is not None):
        yield f"I7 {name} is {execution.state} with lease {execution.lease_token}"


def _phases(execution: Execution) -> Iterator[str]:
    for fence in range(1, execution.fence + 1):
        rows = PhaseEntry.objects.filter(execution=execution, fence=fence).order_by("n")
        walk = [None, *(Phase(row.phase) for row in rows)]
        for before, after in pairwise(walk):
            if after is None or not allows_phase(before, after):
                yield f"I4 execution {execution.pk} went from phase {before} to {after}"


def _deadline(execution: Execution, now: datetime) -> Iterator[str]:
    late = LEASE + timedelta(seconds=2 * SWEEP_SECONDS)
    deadline = execution.deadline_at
    if (
        ExecutionState(execution.state) not in TERMINAL
        and deadline
        and deadline + late < now
    ):
        yield f"I8 execution {execution.pk} is {execution.state} after its deadline {deadline}"
