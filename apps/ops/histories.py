"""The checks of what an execution's rows tell of it: history, end, attempts, claims, time, steps."""

from __future__ import annotations

from datetime import timedelta

from django.db.models import Count, Exists, F, Max, OuterRef, Q, Value, Window
from django.db.models.functions import Coalesce, Concat, Lag

from apps.executions.actions import LEASE
from apps.executions.models import (
    Approval,
    Event,
    Execution,
    PhaseEntry,
    Step,
    Transition,
)
from apps.executions.recovery import QUEUE_LIMIT, SWEEP_SECONDS
from apps.executions.states import (
    ALIVE,
    CLAIMED,
    PHASES,
    TERMINAL,
    TERMINAL_EVENTS,
    TRANSITIONS,
)
from apps.ops.spans import Found, Span, Subject, Violation, check

EXECUTIONS = Subject(Execution, since=lambda since: Q(created_at__gte=since))
LATE = LEASE + timedelta(seconds=2 * SWEEP_SECONDS)  # beyond its time, nothing lives on
LEGAL_MOVES = {">pending"} | {
    f"{source}>{target}" for source, after in TRANSITIONS.items() for target in after
}
LEGAL_PHASES = {
    f"{source or ''}>{target}" for source, after in PHASES.items() for target in after
}


@check(EXECUTIONS, "I4")
def _histories_end_where_the_execution_is(span: Span) -> Found:
    newest = Transition.objects.filter(
        execution_id=OuterRef("pk"), n=OuterRef("version"), to_state=OuterRef("state")
    )
    rows = (
        span.rows.values("pk", "state", "version")
        .annotate(
            moves=Count("transitions"),
            newest=Max("transitions__n"),
            ends=Count("transitions", filter=Q(transitions__to_state__in=TERMINAL)),
            agrees=Exists(newest),
        )
        .filter(
            ~Q(moves=F("version"))
            | ~Q(newest=F("version"))
            | Q(ends__gt=1)
            | Q(agrees=False)
        )
    )
    for row in rows:
        says = f"is {row['state']} at version {row['version']}, its history has {row['moves']} moves"
        ends = f" and {row['ends']} ends" if row["ends"] > 1 else ""
        other = "" if row["agrees"] else " and does not lead there"
        yield Violation("I4", "execution", row["pk"], says + ends + other)


@check(EXECUTIONS, "I4", "I7")
def _legal_moves(span: Span) -> Found:
    rows = (
        span.of(Transition, "execution_id")
        .annotate(
            before=_previous("to_state", ["execution_id"], "n", ""),
            fence_before=_previous("fence", ["execution_id"], "n", 0),
            step=Concat("from_state", Value(">"), "to_state"),
        )
        .filter(
            ~Q(before=F("from_state"))
            | ~Q(step__in=LEGAL_MOVES)
            | Q(fence_before__gt=F("fence"))
        )
        .values_list(
            "execution_id", "before", "from_state", "to_state", "fence", "fence_before"
        )
    )
    for pk, before, source, target, fence, fence_before in rows:
        if f"{source}>{target}" not in LEGAL_MOVES:
            says = f"went from {source or 'nothing'} to {target}"
            yield Violation("I4", "execution", pk, says)
        if before != source:
            says = f"went to {before or 'nothing'}, then from {source} to {target}"
            yield Violation("I4", "execution", pk, says)
        if fence_before > fence:
            says = f"was moved at fence {fence} after fence {fence_before}"
            yield Violation("I7", "execution", pk, says)


@check(EXECUTIONS, "I4")
def _legal_phases(span: Span) -> Found:
    before = _previous("phase", ["execution_id", "fence"], "n", "")
    rows = (
        span.of(PhaseEntry, "execution_id")
        .annotate(step=Concat(before, Value(">"), "phase"))
        .exclude(step__in=LEGAL_PHASES)
    )
    for pk, step in rows.values_list("execution_id", "step"):
        source, _, target = step.partition(">")
        says = f"went from phase {source or 'nothing'} to {target}"
        yield Violation("I4", "execution", pk, says)


def _previous(column: str, within: list[str], order: str, default: object) -> Window:
    """The value of `column` in the row before."""
    return Window(
        Lag(column, default=Value(default)), partition_by=within, order_by=order
    )


@check(EXECUTIONS, "I5")
def _one_end(span: Span) -> Found:
    final = Q(events__final=True)
    right = Q(pk__in=[])
    for state, kind in TERMINAL_EVENTS.items():
        right |= Q(state=state, kind=kind)
    # retention took it, with the whole of its log
    pruned = Q(ends=0, newest__isnull=True, stream__first_kept__gt=1)
    rows = (
        span.rows.values("pk", "state", "stream__first_kept")
        .annotate(
            ends=Count("events", filter=final),
            end=Max("events__seq", filter=final),
            newest=Max("events__seq"),
            kind=Max("events__type", filter=final),
        )
        .filter(
            Q(state__in=TERMINAL) & ~(Q(ends=1, end=F("newest")) & right) & ~pruned
            | Q(state__in=ALIVE, ends__gt=0)
        )
    )
    for row in rows:
        says = f"is {row['state']} with {row['ends']} terminal events"
        if row["ends"] == 1:
            says += f": {row['kind']} at {row['end']}, its newest at {row['newest']}"
        yield Violation("I5", "execution", row["pk"], says)


@check(EXECUTIONS, "I6")
def _attempts_in_order(span: Span) -> Found:
    rows = (
        span.of(Event, "execution_id")
        .filter(attempt__gt=0)
        .annotate(before=_previous("attempt", ["execution_id"], "seq", 0))
        .filter(Q(before__gt=F("attempt")) | Q(attempt__gt=F("execution__attempt")))
    )
    for pk, seq, attempt, before, newest in rows.values_list(
        "execution_id", "seq", "attempt", "before", "execution__attempt"
    ):
        says = f"has event {seq} of attempt {attempt} after attempt {before}, of {newest} in all"
        yield Violation("I6", "execution", pk, says)


@check(EXECUTIONS, "I7")
def _one_claim_at_a_time(span: Span) -> Found:
    still = Q(attempts__ended_at=None, attempts__fence__isnull=False)
    claimed = Q(state__in=CLAIMED)
    rows = (
        span.rows.values("pk", "state", "fence", "lease_token")
        .annotate(
            claims=Count("attempts"),
            highest=Coalesce(Max("attempts__fence"), 0),
            open=Count("attempts", filter=still),
            held=Coalesce(Max("attempts__fence", filter=still), 0),
        )
        .filter(
            ~Q(claims=F("fence"))
            | ~Q(highest=F("fence"))
            | claimed & (~Q(open=1) | ~Q(held=F("fence")) | Q(lease_token=None))
            | ~claimed & (Q(open__gt=0) | Q(lease_token__isnull=False))
        )
    )
    for row in rows:
        says = f"is {row['state']} at fence {row['fence']} with {row['claims']} claims"
        lease = "a lease" if row["lease_token"] else "no lease"
        says = f"{says} up to {row['highest']}, {row['open']} open, and {lease}"
        yield Violation("I7", "execution", row["pk"], says)


@check(EXECUTIONS, "I8")
def _nothing_outlives_its_time(span: Span) -> Found:
    limit = span.now - LATE
    late = Q(deadline_at__lt=limit) & ~Q(waiting_for="approval")
    late |= Q(deadline_at=None, created_at__lt=limit - QUEUE_LIMIT)
    for row in span.rows.filter(late & ~Q(waiting_for="approval"), state__in=ALIVE):
        since = (
            f"past {row.deadline_at or row.created_at + QUEUE_LIMIT:%Y-%m-%d %H:%M:%S}"
        )
        yield Violation("I8", "execution", row.pk, f"is {row.state}, {since}")
    asked = span.of(Approval, "execution_id")
    for approval in asked.filter(decided_at=None, expires_at__lt=limit):
        says = (
            f"waits for a decision that expired {approval.expires_at:%Y-%m-%d %H:%M:%S}"
        )
        yield Violation("I8", "execution", approval.execution_id, says)


@check(EXECUTIONS, "I10")
def _steps_once(span: Span) -> Found:
    steps = span.of(Step, "execution_id")
    for row in (
        steps.values("execution_id", "key").annotate(n=Count("pk")).filter(n__gt=1)
    ):
        says = f"has step {row['key']} {row['n']} times"
        yield Violation("I10", "execution", row["execution_id"], says)
    odd = Q(finished_at__lt=F("started_at")) | Q(started_at__lt=F("planned_at"))
    odd |= Q(fence__gt=F("execution__fence"))
    odd |= Q(attempt__gt=F("execution__attempt"))
    for step in steps.filter(odd):
        says = f"has step {step.key} {step.state} before it began, or in a claim that was not"
        yield Violation("I10", "execution", step.execution_id, says)
