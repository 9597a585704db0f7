"""One socket's view of one thread: subscribe first, replay, then live; each event once and in line.

The log is the truth: whatever hints do not bring in order is read from it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, Protocol, TypeVar
from uuid import UUID

from apps.chat import protocol
from apps.chat import queries as chat_queries
from apps.chat.ledger import Progress
from apps.chat.limits import REPLAYS
from apps.chat.outbox import Outbox, OutboxClosedError
from apps.core.database import read
from apps.core.tenancy import Scope
from apps.executions import queries
from apps.executions.events import LogEntry, TextDelta
from apps.executions.journal import stream_topic
from apps.executions.queries import Position
from apps.executions.runner import runner
from apps.executions.standing import Standing

log = logging.getLogger(__name__)

# Events read at once. A socket that does not read holds a page, so a page of long ones is short.
PAGE_FIRST, PAGE_MOST = 32, 128
PAGE_CHARACTERS = 256 * 1024
Result = TypeVar("Result")
Reading = Callable[
    [Scope, Callable[[], list[LogEntry]]], Coroutine[Any, Any, list[LogEntry]]
]


def _next_size(size: int, characters: int) -> int:
    """How many events to read after a page of `size` that was so long."""
    if characters < PAGE_CHARACTERS:
        return min(size * 2, PAGE_MOST)
    return max(size // 4, 1) if characters > 4 * PAGE_CHARACTERS else size


class PrunedError(Exception):
    """What comes next for a socket is no longer in the log."""


class Hearing(Protocol):
    """What this process has heard of a thread's text."""

    def continued(self, execution_id: UUID, attempt: int, kept: str) -> str: ...


class Turnstile:
    """Lets a few replays read at a time, in their order: many at once would hold every reader."""

    def __init__(self, width: int) -> None:
        self._width = width
        self._loop: asyncio.AbstractEventLoop | None = None
        self._places = asyncio.Semaphore(width)

    async def read(self, scope: Scope, work: Callable[[], Result]) -> Result:
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            self._loop, self._places = loop, asyncio.Semaphore(self._width)
        async with self._places:
            return await read(scope, work)


turnstile = Turnstile(REPLAYS)


def event_frame(entry: LogEntry) -> str:
    """One entry of the log as the client gets it."""
    return protocol.frame(
        entry.type.value,
        entry.payload,
        thread_id=entry.stream_id,
        execution_id=entry.execution_id,
        seq=entry.seq,
        event_id=entry.event_uid,
        at=entry.at,
    )


def resync_frame(
    thread_id: UUID, reason: str, epoch: UUID | None, frame_id: str | None
) -> str:
    """The log cannot be continued from where the client stands: why, and what to read instead."""
    data = {
        "reason": reason,
        "epoch": str(epoch) if epoch else None,
        "snapshot_url": f"/api/v1/threads/{thread_id}/",
    }
    return protocol.frame("resync", data, id=frame_id, thread_id=thread_id)


class Subscription:
    """One socket's view of one thread: everything up to `last` was queued for it."""

    def __init__(
        self,
        scope: Scope,
        thread_id: UUID,
        outbox: Outbox,
        last: int,
        progress: Progress | None = None,
    ) -> None:
        self.scope, self.thread_id, self.last = scope, thread_id, last
        self.feed: Hearing | None = None
        self.leave: Callable[[], None] = self.close
        self._outbox, self._progress = outbox, progress
        self._left = False
        self._known = last  # the newest number that was committed, as far as is known
        self._held: list[tuple[LogEntry, str]] | None = None
        self._released = asyncio.Event()
        self._released.set()
        self._reading: asyncio.Task[None] | None = None
        self._again = False
        # execution → code points of its text that were queued
        self._reached: dict[UUID, int] = {}
        # execution → (message, attempt) to snapshot
        self._gaps: dict[UUID, tuple[UUID | None, int]] = {}
        # executions that this socket watches, so that it expects all of their text
        self._live: set[UUID] = set()
        self._replaying = False

    @property
    def closed(self) -> bool:
        return self._left or self._outbox.closed

    @property
    def topic(self) -> str:
        return stream_topic(self.scope.tenant_id, self.thread_id)

    def hold(self) -> None:
        """Keep events back until `release`, so that an answer goes out before them."""
        self._held = []
        self._released.clear()

    def release(self) -> None:
        held, self._held = self._held or [], None
        self._released.set()
        for entry, frame in held:
            self.offer(entry, frame)

    def offer(self, entry: LogEntry, frame: str) -> None:
        """Take the next event; anything but the next one starts a reading of the log."""
        if self._held is not None:
            self._held.append((entry, frame))
        elif entry.seq <= self.last:
            return
        elif self._reading is not None:
            self._again = True
        elif entry.seq != self.last + 1 or not self._queue(entry, frame):
            self.catch_up(entry.seq)

    def _queue(self, entry: LogEntry, frame: str) -> bool:
        """Queue the next event and the text that belongs before it; False for want of room."""
        if entry.type in protocol.VOIDS_TEXT and not self._complete_text(entry):
            return False
        if not self._outbox.put(frame, self._progress, entry.seq):
            return False
        self.last = entry.seq
        self._restart_text(entry)
        return True

    def offer_delta(self, delta: TextDelta, frame: str) -> None:
        """Send a piece of text if it follows what was sent; otherwise remember the gap."""
        reached = self._reached.get(delta.execution_id, 0 if delta.offset == 0 else -1)
        blocked = (
            self._reading is not None
            or self._held is not None
            or delta.execution_id in self._gaps
        )
        if (
            blocked
            or delta.offset > reached
            or reached < 0
            or not self._outbox.put(frame)
        ):
            self._gaps[delta.execution_id] = (delta.message_id, delta.attempt)
            return
        self._reached[delta.execution_id] = delta.offset + len(delta.text)
        self._live.add(delta.execution_id)

    def _restart_text(self, entry: LogEntry) -> None:
        """A new attempt or an end: what was known of the execution's text is void."""
        execution_id = entry.execution_id
        if execution_id is None or entry.type not in protocol.VOIDS_TEXT:
            return
        self._reached.pop(execution_id, None)
        self._gaps.pop(execution_id, None)
        if entry.type in protocol.ENDS_TEXT:
            self._live.discard(execution_id)
        elif not self._replaying:
            self._live.add(execution_id)

    def _complete_text(self, end: LogEntry) -> bool:
        """Before an end: the text that late or lost hints kept from whoever watched it live."""
        text, reply = end.payload.get("text"), end.payload.get("message_id")
        execution_id = end.execution_id
        if execution_id is None or execution_id not in self._live or reply is None:
            return True
        if not isinstance(text, str) or len(text) <= self._reached.get(execution_id, 0):
            return True
        return self._send_snapshot(execution_id, UUID(str(reply)), end.attempt, text)

    def catch_up(self, known: int = 0) -> None:
        """Read the log from `last` on, until there is nothing more; `known` is committed already."""
        if self.closed:
            return
        self._known = max(self._known, known)
        if self._reading is None:
            self._reading = self._spawn(self._read_pages())
        else:
            self._again = True

    def replay(self, frame_id: str | None, position: Position) -> None:
        """Send everything after `last`, then `replayed`, then a snapshot for each active answer."""
        if self._reading is not None:
            self._reading.cancel()
        self._gaps.clear()
        self._reached.clear()
        self._live.clear()
        self._replaying = True
        self._known = max(self._known, position.last)
        self._reading = self._spawn(self._replay(frame_id, position), frame_id)

    async def _replay(self, frame_id: str | None, position: Position) -> None:
        await self._read_pages(turnstile.read)
        alive = await self._alive()
        self._replaying = False
        self._live.update(standing.id for standing in alive)
        self._outbox.put_anyway(self._replayed(frame_id, position, alive))
        for standing in alive:
            if attempt := standing.announced_attempt:
                await self._snapshot(standing.id, standing.reply_id, attempt)

    async def _alive(self) -> list[Standing]:
        """Who is alive when the log ends where we stand: ends that came meanwhile are read first."""
        while True:
            through = self.last
            look = partial(queries.alive_in, self.thread_id)
            alive = await turnstile.read(self.scope, look)
            await self._read_pages(turnstile.read)
            if self.last == through:
                return alive

    async def heal(self) -> None:
        """Send a snapshot where text was missed. Called once a second."""
        for execution_id, (message_id, attempt) in list(self._gaps.items()):
            if self._reading is None:
                await self._snapshot(execution_id, message_id, attempt)

    async def show_kept(self, kept: chat_queries.KeptText) -> None:
        """Send the stored text of an answer, where it is longer than what came by hints."""
        busy = self._reading is not None or self._held is not None or self.closed
        if not busy and kept.length > self._reached.get(kept.execution_id, 0):
            await self._snapshot(kept.execution_id, kept.message_id, kept.attempt)

    def _heal_from_feed(self) -> None:
        """What was missed while the log was read, where this process heard it all."""
        for execution_id, (message_id, attempt) in list(self._gaps.items()):
            text = self.feed and self.feed.continued(execution_id, attempt, "")
            if text and not self.closed:
                self._send_snapshot(execution_id, message_id, attempt, text)

    def close(self) -> None:
        if self._reading is not None:
            self._reading.cancel()

    async def _read_pages(self, reading: Reading = read) -> None:
        size = PAGE_FIRST
        while True:
            self._again = False
            newer = partial(queries.events_after, self.thread_id, self.last, size)
            page = await reading(self.scope, newer)
            if page[0].seq > self.last + 1 if page else self._known > self.last:
                raise PrunedError
            await self._released.wait()
            characters = await self._queue_page(page)
            if not page and not self._again:
                return
            size = _next_size(size, characters)

    async def _queue_page(self, page: list[LogEntry]) -> int:
        """Queue what was read, as there is room; returns its length in characters."""
        characters = 0
        for entry in page:
            frame = event_frame(entry)
            characters += len(frame)
            while not self._queue(entry, frame):
                await self._outbox.room()
        return characters

    async def _resync(self, frame_id: str | None) -> None:
        """Tell that the log was cut short of what comes next, and follow it no longer."""
        look = partial(queries.position_of, self.thread_id)
        position = await read(self.scope, look)
        epoch = position.epoch if position else None
        frame = resync_frame(self.thread_id, "retained", epoch, frame_id)
        if not self.closed:
            self._outbox.put_anyway(frame)
        self._reading, self._again, self._left = None, False, True
        self._gaps.clear()
        self.leave()

    async def _snapshot(
        self, execution_id: UUID, message_id: UUID | None, attempt: int
    ) -> None:
        self._gaps[execution_id] = (message_id, attempt)
        text = runner.text_of(execution_id)
        if text is None:
            look = partial(chat_queries.text_kept, execution_id)
            text = await read(self.scope, look)
            if text is not None and self.feed is not None:
                text = self.feed.continued(execution_id, attempt, text)
        if text is None or execution_id not in self._gaps:
            self._gaps.pop(execution_id, None)
            return  # it ended, or began anew, while the text was read
        self._send_snapshot(execution_id, message_id, attempt, text)

    def _send_snapshot(
        self, execution_id: UUID, message_id: UUID | None, attempt: int, text: str
    ) -> bool:
        data = {
            "message_id": str(message_id) if message_id else None,
            "attempt": attempt,
            "text": text,
        }
        frame = protocol.frame(
            "message_snapshot",
            data,
            thread_id=self.thread_id,
            execution_id=execution_id,
        )
        queued = self._outbox.put(frame)
        if queued:
            self._reached[execution_id] = len(text)
            self._gaps.pop(execution_id, None)
        return queued

    def _replayed(
        self, frame_id: str | None, position: queries.Position, alive: list[Standing]
    ) -> str:
        executions = [
            {
                "execution_id": str(s.id),
                "state": s.state.value,
                # the one that clients know: a later one voids what they see, open questions too
                "attempt": s.announced_attempt or s.attempt,
            }
            for s in alive
        ]
        data = {
            "through": self.last,
            "epoch": str(position.epoch),
            "state": "active" if alive else "idle",
            "executions": executions,
        }
        return protocol.frame("replayed", data, id=frame_id, thread_id=self.thread_id)

    def _spawn(
        self, work: Coroutine[Any, Any, None], frame_id: str | None = None
    ) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(self._followed(work, frame_id))
        task.add_done_callback(self._read_ended)
        return task

    async def _followed(
        self, work: Coroutine[Any, Any, None], frame_id: str | None
    ) -> None:
        try:
            await work
        except PrunedError:
            await self._resync(frame_id)

    def _read_ended(self, task: asyncio.Task[None]) -> None:
        if task is self._reading:
            self._reading = None
        if task.cancelled():
            return
        error = task.exception()
        if error is None:
            if self._again:
                self.catch_up()
            else:
                self._heal_from_feed()
        elif not isinstance(error, OutboxClosedError):
            log.error(
                "reading the log for a socket failed",
                exc_info=error,
                extra={"action": "delivery.read_failed"},
            )
