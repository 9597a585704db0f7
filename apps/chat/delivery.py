"""From the hub to the subscriptions of this process, and the poll that finds what no hint told.

What one socket is sent, and in which order, is decided by its subscription.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Iterable
from functools import partial
from uuid import UUID

from apps.chat import protocol
from apps.chat import queries as chat_queries
from apps.chat.subscriptions import Subscription, event_frame
from apps.chat.tail import Tail
from apps.core.database import read
from apps.core.hub import hub
from apps.core.tenancy import system
from apps.executions import queries
from apps.executions.events import StreamAdvanced, TextDelta
from apps.executions.runner import runner

log = logging.getLogger(__name__)

POLL_SECONDS = 1.0
STOP_SECONDS = 5.0
HINT_SECONDS = 0.05
POLL = system("delivery: the newest numbers of watched streams")


class Feed:
    """One stream in this process: encodes once, hands to every subscription."""

    def __init__(self, topic: str) -> None:
        self.topic = topic
        self.subscriptions: list[Subscription] = []
        self.fed = False  # whether text was heard since the last look
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
                    subscription.offer(entry, frame)
        elif isinstance(message, TextDelta):
            self.fed = True
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
            await asyncio.wait({self._poll}, timeout=STOP_SECONDS)
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
            last = newest.get(subscription.thread_id, 0)
            if last > subscription.last:
                subscription.catch_up(last)
            await subscription.heal()
        await self._show_kept()

    async def _show_kept(self) -> None:
        """Where no hint brings the text of an answer, show what its runner stored of it."""
        quiet: dict[UUID, list[Subscription]] = defaultdict(list)
        for feed in self._feeds.values():
            if not feed.fed:
                for subscription in feed.open():
                    quiet[subscription.thread_id].append(subscription)
            feed.fed = False
        if not quiet:
            return
        look = partial(chat_queries.texts_kept, list(quiet))
        for kept in await read(POLL, look):
            if runner.text_of(kept.execution_id) is None:
                for subscription in quiet[kept.thread_id]:
                    await subscription.show_kept(kept)


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
