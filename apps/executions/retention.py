"""What is removed of executions when their time is over: words on demand, old events by a sweep.

A log is cut from its front, and only between whole executions: of each execution either every event
is kept, its end among them, or none. What is alive is never cut, and its question neither. States,
moves, attempts, content and messages stay: without its events an execution can be inspected, and a
conversation be read; only the playback is gone.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.conf import settings
from django.db.models import F, Min, OuterRef, Subquery

from apps.core.clock import clock
from apps.core.database import write_now
from apps.core.errors import ConflictError
from apps.core.flags import Switch, enabled
from apps.core.tenancy import system, tenant
from apps.executions import redaction
from apps.executions.models import Content, Event, Execution, Stream
from apps.executions.states import ALIVE

BATCH = 500  # events that one unit removes, or one execution's, where those are more
STREAMS = 500  # looked at in one query
SLICE_SECONDS = 0.25  # the sweeper's thread has leases to look after
SLICE_EVERY = 10.0  # seconds between two slices of a walk
WALK_EVERY = 3600.0
PRUNING = system("retention: logs that reach back too far")


def forget_content(*, stream_id: UUID) -> None:
    """Remove what was said in a stream, in all its executions and events; what happened stays.

    Raises ConflictError while something in it is alive, since that would write again.
    """
    executions = Execution.objects.filter(stream_id=stream_id)
    if executions.filter(state__in=ALIVE).exists():
        raise ConflictError(
            "An answer is still being written here.",
            fix="Stop it, or wait for its end.",
        )
    Content.objects.filter(execution__in=executions.values("id")).update(
        input={}, output="", partial="", error_detail=""
    )
    events = Event.objects.filter(stream_id=stream_id).only("payload")
    for event in events.iterator(chunk_size=500):
        kept = redaction.without_words(event.payload)
        Event.objects.filter(pk=event.pk).update(payload=kept)


def prune(stream_id: UUID, *, before: datetime, limit: int = BATCH) -> int:
    """Cut the front of a log that is older than `before`; returns how many events went.

    One unit of writing: the log begins later in the same moment in which the events are gone. To be
    called again while it returns something.
    """
    locked = Stream.objects.select_for_update().filter(id=stream_id)
    stream = locked.values("first_kept", "last").first()
    if stream is None:
        return 0
    first, end = stream["first_kept"], stream["last"] + 1
    cut = _whole(stream_id, first, _too_young(stream_id, before, end))
    if cut - first > limit:
        shorter = _whole(stream_id, first, first + limit)
        cut = shorter if shorter > first else _past_the_first(stream_id, first, cut)
    if cut <= first:
        return 0
    removed: int = Event.objects.filter(stream_id=stream_id, seq__lt=cut).delete()[0]
    Stream.objects.filter(id=stream_id).update(first_kept=cut)
    return removed


def _too_young(stream_id: UUID, before: datetime, end: int) -> int:
    """The first number that must stay: young, or as young as the oldest that is alive."""
    alive = Execution.objects.filter(stream_id=stream_id, state__in=ALIVE)
    oldest = alive.aggregate(at=Min("created_at"))["at"]
    moment = before if oldest is None else min(before, oldest)
    young = Event.objects.filter(stream_id=stream_id, at__gte=moment)
    number = young.aggregate(first=Min("seq"))["first"]
    return end if number is None else int(number)


def _whole(stream_id: UUID, first: int, cut: int) -> int:
    """The highest cut up to `cut` that goes through no execution."""
    events = Event.objects.filter(stream_id=stream_id, execution_id__isnull=False)
    while cut > first:
        beyond = events.filter(seq__gte=cut).values("execution_id")
        parted = events.filter(seq__lt=cut, execution_id__in=beyond)
        begins = parted.aggregate(first=Min("seq"))["first"]
        if begins is None:
            break
        cut = int(begins)
    return max(cut, first)


def _past_the_first(stream_id: UUID, first: int, most: int) -> int:
    """The lowest cut up to `most` that goes through no execution: one alone exceeds the batch."""
    low, high = first + 1, most
    while low < high:
        middle = (low + high) // 2
        if _whole(stream_id, first, middle) > first:
            high = middle
        else:
            low = middle + 1
    return _whole(stream_id, first, low)


@dataclass(slots=True)
class _Walk:
    """Where this process is on its way through all streams; an hour lies between two ways."""

    after: UUID | None = None
    rests_until: float = 0.0

    def slice(self, now: datetime, patience: float) -> int:
        """Go on for `patience` seconds; returns how many events went."""
        if time.monotonic() < self.rests_until:
            return 0
        before = now - timedelta(days=settings.NETRA_EVENTS_DAYS)
        until, removed = time.monotonic() + patience, 0
        while time.monotonic() < until:
            with PRUNING:
                found = _next_streams(self.after)
            for stream_id, organisation_id, oldest in found:
                gone = 0
                if oldest is not None and oldest < before:
                    gone = _prune_all(organisation_id, stream_id, before, until)
                removed += gone
                over = time.monotonic() >= until
                if not (over and gone):  # else there may be more of it
                    self.after = stream_id
                if over:
                    return removed
            if len(found) < STREAMS:
                self.after, self.rests_until = None, time.monotonic() + WALK_EVERY
                break
        return removed


def _next_streams(after: UUID | None) -> list[tuple[UUID, UUID, datetime | None]]:
    """The next streams with something in them: (id, organisation, time of the first event)."""
    rows = Stream.objects.filter(first_kept__lte=F("last"))
    if after is not None:
        rows = rows.filter(id__gt=after)
    first = Event.objects.filter(stream_id=OuterRef("id"), seq=OuterRef("first_kept"))
    rows = rows.annotate(oldest=Subquery(first.values("at")[:1])).order_by("id")
    return list(rows.values_list("id", "organisation_id", "oldest")[:STREAMS])


def _prune_all(
    organisation_id: UUID, stream_id: UUID, before: datetime, until: float
) -> int:
    if not enabled(Switch.RETENTION, organisation_id):
        return 0
    scope = tenant(organisation_id)
    removed = 0
    while batch := write_now(scope, lambda: prune(stream_id, before=before)):
        removed += batch
        if time.monotonic() >= until:
            break
    return removed


_walk = _Walk()


def sweep() -> int:
    """Go on with this hour's walk for a moment; 0 days of NETRA_EVENTS_DAYS keep everything."""
    if settings.NETRA_EVENTS_DAYS == 0:
        return 0
    return _walk.slice(clock.now(), SLICE_SECONDS)
