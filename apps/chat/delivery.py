"""From the log and the hub to the sockets of this process: subscribe first, replay, then live.

The log is the truth: whatever a hint does not bring in order is read from it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Iterable
from functools import partial
from typing import Any
from uuid import UUID

from apps.chat import protocol
from apps.chat.outbox import Outbox, OutboxClosedError
from apps.chat.tail import Tail
from apps.core.database import read
from apps.core.hub import hub
from apps.core.tenancy import Scope, system
from apps.executions import queries
from apps.executions.events import LogEntry, StreamAdvanced, TextDelta
from apps.executions.journal import stream_topic
from apps.executions.runner import runner
from apps.executions.standing import Standing

log = logging.getLogger(__name__)

POLL_SECONDS = 1.0
HINT_SECONDS = 0.05
POLL = system("delivery: the newest numbers of watched streams")


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


class Subscription:
    """One socket's view of one thread: everything up to `last` was queued for it."""

    def __init__(
        self, scope: Scope, thread_id: UUID, outbox: Outbox, last: int
    ) -> None:
        self.scope, self.thread_id, self.last = scope, thread_id, last
        self.feed: Feed | None = None
        self._outbox = outbox
        self._held: list[tuple[int, str]] | None = None
        self._released = asyncio.Event()
        self._released.set()
        self._reading: asyncio.Task[None] | None = None
        self._again = False
        self._reached: dict[
            UUID, int
        ] = {}  # execution → code points of its text that were queued
        self._gaps: dict[
            UUID, tuple[UUID | None, int]
        ] = {}  # execution → (message, attempt) to snapshot

    @property
    def closed(self) -> bool:
        return self._outbox.closed

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
        for seq, frame in held:
            self.offer(seq, frame)

    def offer(self, seq: int, frame: str) -> None:
        """Take the next event; anything but the next one starts a reading of the log."""
        if self._held is not None:
            self._held.append((seq, frame))
        elif seq <= self.last:
            return
        elif self._reading is not None:
            self._again = True
        elif seq == self.last + 1 and self._outbox.put(frame):
            self.last = seq
        else:
            self.catch_up()

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

    def restart_text(self, entry: LogEntry) -> None:
        """A new attempt or an end: what was known of the execution's text is void."""
        if entry.execution_id is not None and (entry.type in protocol.VOIDS_TEXT):
            self._reached.pop(entry.execution_id, None)
            self._gaps.pop(entry.execution_id, None)

    def catch_up(self) -> None:
        """Read the log from `last` on, until there is nothing more."""
        if self._reading is None:
            self._reading = self._spawn(self._read_pages())
        else:
            self._again = True

    def replay(self, frame_id: str | None, position: queries.Position) -> None:
        """Send everything after `last`, then `replayed`, then a snapshot for each active answer."""
        if self._reading is not None:
            self._reading.cancel()
        self._gaps.clear()
        self._reached.clear()
        self._reading = self._spawn(self._replay(frame_id, position))

    async def _replay(self, frame_id: str | None, position: queries.Position) -> None:
        await self._read_pages()
        alive = await self._alive()
        self._outbox.put_anyway(self._replayed(frame_id, position, alive))
        for standing in alive:
            if attempt := standing.announced_attempt:
                await self._snapshot(standing.id, standing.reply_id, attempt)

    async def _alive(self) -> list[Standing]:
        """Who is alive when the log ends where we stand: ends that came meanwhile are read first."""
        while True:
            through = self.last
            alive = await read(self.scope, lambda: queries.alive_in(self.thread_id))
            await self._read_pages()
            if self.last == through:
                return alive

    async def heal(self) -> None:
        """Send a snapshot where text was missed. Called once a second."""
        for execution_id, (message_id, attempt) in list(self._gaps.items()):
            if self._reading is None:
                await self._snapshot(execution_id, message_id, attempt)

    def _heal_from_feed(self) -> None:
        """What was missed while the log was read, where this process heard it all."""
        for execution_id, (message_id, attempt) in list(self._gaps.items()):
            text = self.feed and self.feed.continued(execution_id, attempt, "")
            if text and not self.closed:
                self._send_snapshot(execution_id, message_id, attempt, text)

    def close(self) -> None:
        if self._reading is not None:
            self._reading.cancel()

    async def _read_pages(self) -> None:
        while True:
            self._again = False
            newer = partial(queries.events_after, self.thread_id, self.last)
            page = await read(self.scope, newer)
            await self._released.wait()
            for entry in page:
                self.restart_text(entry)
                frame = event_frame(entry)
                while not self._outbox.put(frame):
                    await self._outbox.room()
                self.last = entry.seq
            if not page and not self._again:
                return

    async def _snapshot(
        self, execution_id: UUID, message_id: UUID | None, attempt: int
    ) -> None:
        self._gaps[execution_id] = (message_id, attempt)
        text = runner.text_of(execution_id)
        if text is None:
            text = await read(self.scope, lambda: queries.partial_of(execution_id))
            if self.feed is not None:
                text = self.feed.continued(execution_id, attempt, text)
        if execution_id not in self._gaps:
            return  # it ended, or began anew, while the text was read
        self._send_snapshot(execution_id, message_id, attempt, text)

    def _send_snapshot(
        self, execution_id: UUID, message_id: UUID | None, attempt: int, text: str
    ) -> None:
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
        if self._outbox.put(frame):
            self._reached[execution_id] = len(text)
            self._gaps.pop(execution_id, None)

    def _replayed(
        self, frame_id: str | None, position: queries.Position, alive: list[Standing]
    ) -> str:
        executions = [
            {"execution_id": str(s.id), "state": s.state.value, "attempt": s.attempt}
            for s in alive
        ]
        data = {
            "through": self.last,
            "epoch": str(position.epoch),
            "state": "active" if alive else "idle",
            "executions": executions,
        }
        return protocol.frame("replayed", data, id=frame_id, thread_id=self.thread_id)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        task.add_done_callback(self._read_ended)
        return task

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


class Feed:
    """One stream in this process: encodes once, hands to every subscription."""

    def __init__(self, topic: str) -> None:
        self.topic = topic
        self.subscriptions: list[Subscription] = []
        self._tail: Tail | None = None

    def continued(self, execution_id: UUID, attempt: int, kept: str) -> str:
        """`kept`, the text that was stored, with what this process has heard since."""
        tail = self._tail
        if tail is None or (tail.execution_id, tail.attempt) != (execution_id, attempt):
            return kept
        return tail.continued(kept)

    def hear(self, message: object) -> None:
        """Hand a hint to every subscription; one whose socket just went is no reason to stop."""
        if isinstance(message, StreamAdvanced):
            for entry in message.entries:
                frame = event_frame(entry)
                for subscription in self.open():
                    subscription.restart_text(entry)
                    subscription.offer(entry.seq, frame)
        elif isinstance(message, TextDelta):
            if runner.text_of(message.execution_id) is None:
                self._keep(message)
            frame = _delta_frame(message)
            for subscription in self.open():
                subscription.offer_delta(message, frame)

    def _keep(self, delta: TextDelta) -> None:
        if self._tail is None or not self._tail.add(delta):
            self._tail = Tail(delta)

    def open(self) -> list[Subscription]:
        return [s for s in self.subscriptions if not s.closed]


class Delivery:
    """All feeds of this process, and the poll that finds what no hint told."""

    def __init__(self) -> None:
        self._feeds: dict[str, Feed] = {}
        self._poll: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._poll = asyncio.get_running_loop().create_task(
            self._polling(), name="netra-delivery"
        )

    async def stop(self) -> None:
        if self._poll is not None:
            self._poll.cancel()
            await asyncio.gather(self._poll, return_exceptions=True)
            self._poll = None

    def attach(self, subscription: Subscription) -> None:
        topic = subscription.topic
        feed = self._feeds.get(topic)
        if feed is None:
            feed = self._feeds[topic] = Feed(topic)
            hub.watch(topic, feed.hear)
        feed.subscriptions.append(subscription)
        subscription.feed = feed

    def detach(self, subscription: Subscription) -> None:
        subscription.close()
        feed = self._feeds.get(subscription.topic)
        if feed is None or subscription not in feed.subscriptions:
            return
        feed.subscriptions.remove(subscription)
        if not feed.subscriptions:
            hub.unwatch(feed.topic, feed.hear)
            del self._feeds[feed.topic]

    def subscriptions(self) -> Iterable[Subscription]:
        return [s for feed in self._feeds.values() for s in feed.subscriptions]

    async def _polling(self) -> None:
        while True:
            await asyncio.sleep(POLL_SECONDS)
            try:
                await self.check()
            except Exception:
                log.exception(
                    "the delivery poll failed", extra={"action": "delivery.poll_failed"}
                )

    async def check(self) -> None:
        """One query for all watched streams; whoever is behind reads the log."""
        watched = {s.thread_id for s in self.subscriptions()}
        if not watched:
            return
        newest = await read(POLL, lambda: queries.last_numbers(watched))
        await asyncio.sleep(
            HINT_SECONDS
        )  # what was committed just now is still on its way
        for subscription in self.subscriptions():
            if subscription.closed:
                continue
            if newest.get(subscription.thread_id, 0) > subscription.last:
                subscription.catch_up()
            await subscription.heal()


def _delta_frame(delta: TextDelta) -> str:
    data = {
        "message_id": str(delta.message_id) if delta.message_id else None,
        "attempt": delta.attempt,
        "offset": delta.offset,
        "text": delta.text,
    }
    return protocol.frame(
        "message_delta",
        data,
        thread_id=delta.stream_id,
        execution_id=delta.execution_id,
    )


delivery = Delivery()
