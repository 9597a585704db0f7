"""Reads about executions and their logs. Tenant's rows unless the caller opened another scope."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models import Count, Exists, F, OuterRef, Q, QuerySet, Window
from django.db.models.functions import RowNumber

from apps.accounts.plans import Tier
from apps.core import sql
from apps.core.flags import Switch, enabled
from apps.executions import fairness
from apps.executions.concurrency import UNLIMITED, limits_for, limits_of
from apps.executions.errors import LeaseLostError
from apps.executions.events import LogEntry
from apps.executions.fairness import Full, Waiting
from apps.executions.models import (
    Content,
    Event,
    Execution,
    PhaseEntry,
    Stream,
    Transition,
)
from apps.executions.standing import RUNNER, STANDING_COLUMNS, Standing
from apps.executions.states import ALIVE, CLAIMED, EventType, ExecutionState, Phase

PAGE = 500  # events read at once
CANDIDATES = 5000  # waiting executions that are weighed against each other at once
QUIET_LEASE = timedelta(
    seconds=15
)  # left of a lease of 30 s: more than one beat is missing
OWN_END = timedelta(seconds=2)  # that a living runner has to write its end
NOT_TAKEN = timedelta(
    minutes=1
)  # a pending one waits longer only when nobody runs agents
_ENTRY = (
    "stream_id",
    "seq",
    "event_uid",
    "execution_id",
    "attempt",
    "type",
    "payload",
    "at",
)


def standings(rows: QuerySet[Execution]) -> list[Standing]:
    """The standings of `rows`, one query."""
    return [_standing(values) for values in rows.values(*STANDING_COLUMNS)]


def standing_of(execution_id: UUID) -> Standing | None:
    return next(iter(standings(Execution.objects.filter(id=execution_id))), None)


def claimable(now: datetime, limit: int) -> list[Standing]:
    """Pending executions that may start, in the order in which they should.

    Of each stream at most one, of each person no more than their limit: `fairness` tells who goes
    next. In a system scope, since it weighs all organisations against each other.
    """
    claimed = claimed_by_person()
    full = fairness.full(claimed, limits_for(place for place, _ in claimed))
    rows = _startable(now, full)
    if enabled(Switch.FAIRNESS):
        numbered = rows.order_by().annotate(
            place=Window(
                RowNumber(),
                partition_by=[F("organisation_id"), F("user_id")],
                order_by=[F("available_at").asc(), F("created_at").asc()],
            )
        )
        # Of one person's flood no more is read than could start.
        rows = numbered.filter(place__lte=limit).order_by("place", "available_at")
        choose = fairness.choose
    else:
        rows, choose = rows.order_by("available_at", "created_at"), fairness.oldest
    columns = (*STANDING_COLUMNS, "available_at")
    found = {values["id"]: values for values in rows[:CANDIDATES].values(*columns)}
    waiting = [
        Waiting(key, v["organisation_id"], v["user_id"], Tier(v["tier"]), since)
        for key, v in found.items()
        if (since := v.pop("available_at"))
    ]
    limits = limits_for(one.organisation_id for one in waiting)
    chosen = choose(waiting, claimed=claimed, limits=limits, free=limit)
    return [_standing(found[key]) for key in chosen]


def _startable(now: datetime, full: Full) -> QuerySet[Execution]:
    """What waits for nothing but a runner, and belongs to nobody who has enough at work."""
    busy = Execution.objects.filter(stream_id=OuterRef("stream_id"), state__in=CLAIMED)
    rows = Execution.objects.filter(
        state=ExecutionState.PENDING, waiting_for="", available_at__lte=now
    ).exclude(Exists(busy))
    if full.organisations:
        rows = rows.exclude(organisation_id__in=full.organisations)
    for organisation_id, user_id in full.people:
        rows = rows.exclude(organisation_id=organisation_id, user_id=user_id)
    found: QuerySet[Execution] = rows
    return found


def claimed_by_person() -> dict[tuple[UUID, UUID], int]:
    """(organisation, user) → how many of their executions are claimed."""
    rows = Execution.objects.filter(state__in=CLAIMED).order_by()
    counted = rows.values_list("organisation_id", "user_id").annotate(n=Count("id"))
    return {(organisation_id, user_id): n for organisation_id, user_id, n in counted}


def is_full(standing: Standing) -> bool:
    """Whether the limits let its person start nothing now; in a system scope, and holding nobody up."""
    place, person = (
        standing.organisation_id,
        (standing.organisation_id, standing.user_id),
    )
    enough = fairness.full(claimed_by_person(), limits_for([place]))
    return place in enough.organisations or person in enough.people


def has_room(standing: Standing) -> bool:
    """Whether its organisation and its person may have one more claimed; in a claiming unit.

    On PostgreSQL claims of one organisation wait for each other here, so that two processes
    cannot both take the last place.
    """
    limits = limits_of(standing.organisation_id)
    if limits == UNLIMITED:
        return True
    sql.hold("claims", standing.organisation_id)
    rows = sql.select(
        Execution,
        ("user_id",),
        where={"organisation_id": standing.organisation_id},
        where_in={"state": CLAIMED},
    )
    mine = sum(user_id == standing.user_id for (user_id,) in rows)
    return limits.allow(organisation=len(rows), user=mine)


def take_pending(execution_id: UUID) -> bool:
    """Lock a pending row for a claim; False when it is gone, or somebody else claims it just now."""
    rows = Execution.objects.filter(id=execution_id, state=ExecutionState.PENDING)
    if connection.vendor == "postgresql":
        rows = rows.select_for_update(skip_locked=True, of=("self",))
    return bool(rows.order_by().values_list("id"))


def lost(now: datetime, *, except_owner: UUID | None = None) -> list[Standing]:
    """Claimed executions whose lease ran out; at a single process's start, all of other owners."""
    gone = Q(lease_expires_at__lt=now)
    if except_owner is not None:
        gone |= ~Q(owner=except_owner)
    return standings(Execution.objects.filter(gone, state__in=CLAIMED))


def overdue(now: datetime) -> list[Standing]:
    """Alive executions whose deadline has passed; it does not pass while a person is asked.

    A runner that holds its lease ends its own first: it knows the newest text and what it cost.
    """
    own_end = Q(
        state__in=CLAIMED, lease_expires_at__gte=now, deadline_at__gte=now - OWN_END
    )
    rows = Execution.objects.filter(state__in=ALIVE, deadline_at__lt=now).exclude(
        own_end
    )
    return standings(rows.exclude(waiting_for="approval"))


def never_started(before: datetime) -> list[Standing]:
    """Pending executions that no runner took since `before`."""
    rows = Execution.objects.filter(
        state=ExecutionState.PENDING, deadline_at__isnull=True, created_at__lt=before
    )
    return standings(rows.exclude(waiting_for="approval"))


def stop_requests(ids: Iterable[UUID]) -> dict[UUID, tuple[str, str]]:
    """Of `ids`, those that someone wants stopped: id → (by, reason)."""
    rows = Execution.objects.filter(id__in=list(ids), cancel_requested_at__isnull=False)
    return {
        row[0]: (row[1], row[2])
        for row in rows.values_list("id", "cancel_by", "cancel_reason")
    }


def ignored_stops(before: datetime) -> list[Standing]:
    """Claimed executions that were asked to stop before `before` and did not."""
    return standings(
        Execution.objects.filter(
            state__in={"starting", "running"}, cancel_requested_at__lt=before
        )
    )


def fate_of_unit(standing: Standing, uid: UUID | None) -> Standing | None:
    """Whether a unit of the lease's holder was committed, when nobody can say so any more.

    `standing` is from before the unit, `uid` its last event's. Returns where it left the execution,
    None when it is not there; raises LeaseLostError when somebody else has moved on.
    """
    present = standing_of(standing.id)
    if present is None or present.fence != standing.fence:
        raise LeaseLostError(f"execution {standing.id} is another runner's now")
    if present.version > standing.version:
        newest = Transition.objects.filter(execution_id=standing.id).order_by("-n")[0]
        if newest.actor_label != RUNNER.label:
            raise LeaseLostError(f"execution {standing.id} was taken away")
    entered = PhaseEntry.objects.filter(
        execution_id=standing.id, fence=standing.fence
    ).count()
    there = present.version > standing.version or entered > standing.phases
    if not there and uid is not None:
        there = Event.objects.filter(event_uid=uid).exists()
    return replace(present, phases=entered) if there else None


def alive_in(stream_id: UUID) -> list[Standing]:
    """What waits or runs in a stream, oldest first."""
    rows = Execution.objects.filter(stream_id=stream_id, state__in=ALIVE).order_by(
        "created_at"
    )
    return standings(rows)


def events_after(stream_id: UUID, seq: int, limit: int = PAGE) -> list[LogEntry]:
    """One page of a stream's log, in order."""
    rows = Event.objects.filter(stream_id=stream_id, seq__gt=seq).order_by("seq")[
        :limit
    ]
    return [_entry(row) for row in rows.values(*_ENTRY)]


def events_of(execution_id: UUID, seq: int = 0, limit: int = PAGE) -> list[LogEntry]:
    """One page of what an execution wrote into its stream's log, in order."""
    rows = Event.objects.filter(execution_id=execution_id, seq__gt=seq).order_by("seq")
    return [_entry(row) for row in rows[:limit].values(*_ENTRY)]


def end_of(execution_id: UUID) -> LogEntry | None:
    """The one event that ended an execution; None while it is alive."""
    rows = Event.objects.filter(execution_id=execution_id, final=True)
    row = rows.values(*_ENTRY).first()
    return _entry(row) if row else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """How far a stream's log reaches."""

    last: int
    first_kept: int
    epoch: UUID


def position_of(stream_id: UUID) -> Position | None:
    row = (
        Stream.objects.filter(id=stream_id)
        .values("last", "first_kept", "epoch")
        .first()
    )
    return Position(**row) if row else None


def last_numbers(stream_ids: Iterable[UUID]) -> dict[UUID, int]:
    """The newest number of each stream: one query for all that a process watches."""
    return dict(
        Stream.objects.filter(id__in=list(stream_ids)).values_list("id", "last")
    )


def input_of(execution_id: UUID) -> dict[str, Any]:
    return dict(
        Content.objects.values_list("input", flat=True).get(execution_id=execution_id)
    )


def partial_of(execution_id: UUID) -> str:
    """The text that was kept so far of an answer."""
    return (
        Content.objects.filter(execution_id=execution_id)
        .values_list("partial", flat=True)
        .first()
        or ""
    )


def _entry(row: dict[str, Any]) -> LogEntry:
    return LogEntry(**{**row, "type": EventType(row["type"])})


def _standing(values: dict[str, Any]) -> Standing:
    phase = Phase(values["phase"]) if values["phase"] else None
    return Standing(
        **{**values, "state": ExecutionState(values["state"]), "phase": phase}
    )


def events_of_kinds(stream_id: UUID, kinds: Iterable[EventType]) -> list[LogEntry]:
    """The events of some kinds in a stream, in order."""
    rows = Event.objects.filter(stream_id=stream_id, type__in=list(kinds)).order_by(
        "seq"
    )
    return [_entry(row) for row in rows.values(*_ENTRY)]


def stuck(now: datetime) -> Q:
    """Alive, and out of step: no heartbeat, not taken, past its deadline, or deaf to a stop."""
    late = Q(state__in=CLAIMED, lease_expires_at__lt=now + QUIET_LEASE)
    late |= Q(
        state=ExecutionState.PENDING, waiting_for="", available_at__lt=now - NOT_TAKEN
    )
    late |= Q(state__in=ALIVE, deadline_at__lt=now) & ~Q(waiting_for="approval")
    late |= Q(state__in=ALIVE, cancel_requested_at__lt=now - QUIET_LEASE)
    return late
