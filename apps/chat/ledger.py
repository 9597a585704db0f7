"""What each connection was sent, and what it says it showed: kept in memory, written in batches.

One statement a second for all connections of a process, and soon after one of them ends; never one
for a frame. A process that is killed takes at most its last second along. Reading belongs to queries.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from functools import partial
from uuid import UUID

from django.db import Error

from apps.chat.models import Delivery, Thread
from apps.core import sql
from apps.core.clock import clock
from apps.core.database import write
from apps.core.errors import NetraError
from apps.core.flags import Switch, enabled
from apps.core.tenancy import system

log = logging.getLogger(__name__)

WRITE_SECONDS = 1.0
GATHER_SECONDS = 0.1  # after an end, for others that end just now
STOP_SECONDS = 5.0
BATCH = 200  # rows of one statement
WAITING_MAX = 10_000  # accounts that wait while the database is away; the oldest go
LEDGER = system("ledger: one batch for all connections of a process")
KEY = ("connection_id", "thread_id")
MOVING = (
    "began_after",
    "sent_to",
    "sent_at",
    "acknowledged_to",
    "acknowledged_at",
    "closed_at",
    "close_code",
)


class Door(StrEnum):
    """Through what a client follows a thread."""

    WEBSOCKET = "websocket"
    SSE = "sse"


@dataclass(slots=True, kw_only=True, eq=False)
class Progress:
    """How far one connection got in one thread. Numbers never fall."""

    ledger: Ledger
    organisation_id: UUID
    user_id: UUID
    thread_id: UUID
    connection_id: UUID
    door: Door
    began_after: int
    sent_to: int
    opened_at: datetime = field(default_factory=clock.now)
    sent_at: datetime | None = None
    acknowledged_to: int = 0
    acknowledged_at: datetime | None = None
    closed_at: datetime | None = None
    close_code: int | None = None
    under_way: int = 0
    waiting: bool = False  # to be written

    @property
    def most(self) -> int:
        """What the client may have got: sent, or handed to a send that has not returned yet."""
        return max(self.sent_to, self.under_way)

    def sending(self, seq: int) -> None:
        """The socket is handed `seq`, and may not take it."""
        self.under_way = seq

    def sent(self, seq: int) -> None:
        """The socket took everything up to `seq`."""
        if seq > self.sent_to:
            self.sent_to, self.sent_at = seq, clock.now()
            self.ledger.note(self)

    def acknowledge(self, seq: int) -> None:
        """The client has shown everything up to `seq`, so it was sent, too."""
        self.sent(seq)
        if seq > self.acknowledged_to:
            self.acknowledged_to, self.acknowledged_at = seq, clock.now()
            self.ledger.note(self)

    def reopen(self, after: int) -> None:
        """Follow the thread again from `after` on; beyond what was sent, that is a new beginning."""
        if after > self.sent_to:
            self.began_after = self.sent_to = after
        self.began_after = min(self.began_after, after)
        self.closed_at = self.close_code = None
        self.ledger.note(self)

    def close(self, code: int | None = None) -> None:
        """The connection follows the thread no longer; it ended with `code`, or goes on without."""
        if self.closed_at is None:
            self.closed_at, self.close_code = clock.now(), code
            self.ledger.note(self)
            self.ledger.hurry()

    def row(self) -> dict[str, object]:
        """The numbers as they are now, on the loop; another thread writes them."""
        named = ("organisation_id", "user_id", *KEY, "door", "opened_at", *MOVING)
        return {name: getattr(self, name) for name in named}


class Ledger:
    """All accounts of this process that changed, and the one task that writes them."""

    def __init__(self) -> None:
        self.lost = 0
        self._changed: deque[Progress] = deque()
        self._task: asyncio.Task[None] | None = None
        self._soon = asyncio.Event()
        self._ending = self._failing = False

    def open(
        self,
        *,
        place: tuple[UUID, UUID],
        thread_id: UUID,
        connection_id: UUID,
        door: Door,
        after: int,
    ) -> Progress:
        """An account of what a connection gets of a thread, of which it knows all up to `after`."""
        organisation_id, user_id = place
        progress = Progress(
            ledger=self,
            organisation_id=organisation_id,
            user_id=user_id,
            thread_id=thread_id,
            connection_id=connection_id,
            door=door,
            began_after=after,
            sent_to=after,
        )
        self.note(progress)
        return progress

    def note(self, progress: Progress) -> None:
        """It has changed: the next batch takes it along."""
        if progress.waiting:
            return
        if len(self._changed) >= WAITING_MAX:
            self._changed.popleft().waiting = False
            self.lost += 1
        progress.waiting = True
        self._changed.append(progress)

    def hurry(self) -> None:
        """Write soon: somebody may look at what just ended."""
        self._soon.set()

    def start(self) -> None:
        self._soon, self._ending = asyncio.Event(), False
        self._task = asyncio.get_running_loop().create_task(
            self._write_for_ever(), name="netra-ledger"
        )

    async def stop(self) -> None:
        """Write what is left, as far as the database takes it in time."""
        self._ending = True
        self.hurry()
        if self._task is not None:
            await asyncio.wait({self._task}, timeout=STOP_SECONDS)
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    async def _write_for_ever(self) -> None:
        while True:
            waiting = asyncio.ensure_future(self._soon.wait())
            hurried, _ = await asyncio.wait({waiting}, timeout=WRITE_SECONDS)
            waiting.cancel()
            if hurried:
                await asyncio.sleep(GATHER_SECONDS)
                self._soon.clear()
            await self.write_changed()
            if self._ending and not self._changed:
                return

    async def write_changed(self) -> None:
        """Write every account that changed; what the database does not take waits for the next time."""
        waiting, self._changed = list(self._changed), deque()
        for progress in waiting:
            progress.waiting = False
        kept = [
            p for p in waiting if enabled(Switch.DELIVERY_LEDGER, p.organisation_id)
        ]
        for start in range(0, len(kept), BATCH):
            batch = kept[start : start + BATCH]
            rows = [progress.row() for progress in batch]
            try:
                await write(LEDGER, partial(store, rows))
            except (Error, NetraError) as error:
                self._failed(error, kept[start:])
                return
            self._failing = False

    def _failed(self, error: Exception, left: Sequence[Progress]) -> None:
        for progress in left:
            self.note(progress)
        if not self._failing:
            self._failing = True
            log.warning(
                "the delivery ledger cannot be written, it is tried again: %s",
                error,
                extra={"action": "ledger.failed"},
            )


def store(rows: Sequence[sql.Row]) -> None:
    """Write a batch in one statement, without those whose thread was deleted meanwhile."""
    named = {row["thread_id"] for row in rows}
    there = set(Thread.objects.filter(id__in=named).values_list("id", flat=True))
    known = [row for row in rows if row["thread_id"] in there]
    sql.upsert(Delivery, known, key=KEY, values=MOVING)


def forget(before: datetime, limit: int) -> int:
    """Drop the oldest accounts that were opened before `before`, at most `limit`; returns how many."""
    old = Delivery.objects.filter(opened_at__lt=before).order_by("opened_at")
    oldest = list(old.values_list("id", flat=True)[:limit])
    dropped: int = Delivery.objects.filter(id__in=oldest).delete()[0]
    return dropped


ledger = Ledger()
