"""Carries hints from this process's hub to those of other processes, over the channel layer.

Only hints travel: what is lost, late or doubled costs a poll's time. Nobody ever waits for it.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict, deque
from typing import Any
from uuid import uuid4

from pydantic import TypeAdapter, ValidationError
from redis.exceptions import RedisError

from apps.core.hub import Hub, crossing

log = logging.getLogger(__name__)

QUEUE_LIMIT = 10_000  # hints that wait to be sent; beyond, the oldest are dropped
BATCH = 500
PATIENCE = 2.0  # seconds that Redis gets for one call
RETRY_SECONDS = 1.0
PULSE_SECONDS = (
    5.0  # after so long without a hint, one to nobody shows whether Redis is there
)
PULSE = "relay.pulse"
AWAY = (RedisError, OSError, TimeoutError)


class Relay:
    """Sends what the hub publishes, and follows the topics that somebody here watches."""

    def __init__(self, hub: Hub, layer: Any) -> None:
        self.lost = 0
        self.away = False
        self._hub, self._layer = hub, layer
        self._origin = uuid4().hex
        self._adapters: dict[str, TypeAdapter[Any]] = {
            name: TypeAdapter(kind) for name, kind in crossing().items()
        }
        self._waiting: deque[tuple[str, object]] = deque(maxlen=QUEUE_LIMIT)
        self._woken = False
        self._filled = asyncio.Event()
        self._channel: str | None = None
        self._changed: dict[str, None] = {}  # topics to join or to leave, in order
        self._turned = asyncio.Event()
        self._wanted: set[str] = set()
        self._tasks: list[asyncio.Task[None]] = []
        self._loop: asyncio.AbstractEventLoop | None = None

    def start(self) -> None:
        """Take over the hub's relay. On the event loop."""
        global current  # noqa: PLW0603 - one for each process
        current = self
        self._loop = asyncio.get_running_loop()
        self._hub.relay = self.send
        self._hub.on_first_watch = self._join
        self._hub.on_last_unwatch = self._leave
        for topic in self._hub.topics():
            self._join(topic)
        self._tasks = [
            self._loop.create_task(self._send_for_ever(), name="netra-relay-send"),
            self._loop.create_task(self._follow_for_ever(), name="netra-relay-follow"),
        ]

    async def stop(self) -> None:
        """Send what waits, and let go of the hub and of Redis."""
        global current  # noqa: PLW0603 - see start
        current = None if current is self else current
        self._hub.relay = self._hub.on_first_watch = self._hub.on_last_unwatch = None
        for task in self._tasks:
            task.cancel()
        # Bounded: a client of Redis may drop the cancellation that it meets.
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=PATIENCE)
        await self._send_waiting()
        await self._forget_layer()

    def send(self, topic: str, message: object) -> None:
        """Queue a hint for the other processes. From any thread; never waits."""
        if len(self._waiting) == QUEUE_LIMIT:
            self.lost += 1
        self._waiting.append((topic, message))
        if not self._woken and self._loop is not None and not self._loop.is_closed():
            self._woken = True
            self._loop.call_soon_threadsafe(self._filled.set)

    # -- sending ---------------------------------------------------------------------

    async def _send_for_ever(self) -> None:
        while True:
            try:
                async with asyncio.timeout(PULSE_SECONDS):
                    await self._filled.wait()
            except TimeoutError:
                await self._pulse()
                continue
            self._filled.clear()
            self._woken = False
            await self._send_waiting()

    async def _pulse(self) -> None:
        try:
            async with asyncio.timeout(PATIENCE):
                await self._layer.group_send(PULSE, {"type": "hub.pulse"})
        except AWAY as error:
            self._went_away(error)
        else:
            self._came_back()

    async def _send_waiting(self) -> None:
        while self._waiting:
            size = min(BATCH, len(self._waiting))
            batch = [self._waiting.popleft() for _ in range(size)]
            try:
                async with asyncio.timeout(PATIENCE):
                    await self._send_batch(batch)
            except AWAY as error:
                self.lost += size
                self._went_away(error)
            else:
                self._came_back()

    async def _send_batch(self, batch: list[tuple[str, object]]) -> None:
        """One message for each topic, with all its hints in order."""
        topics: dict[str, list[tuple[str, bytes]]] = defaultdict(list)
        for topic, message in batch:
            name = type(message).__name__
            topics[topic].append((name, self._adapters[name].dump_json(message)))
        for topic, hints in topics.items():
            carried = {"origin": self._origin, "topic": topic, "hints": hints}
            await self._layer.group_send(topic, {"type": "hub.hints", **carried})

    # -- following -------------------------------------------------------------------

    def _join(self, topic: str) -> None:
        self._wanted.add(topic)
        self._turn(topic)

    def _leave(self, topic: str) -> None:
        self._wanted.discard(topic)
        self._turn(topic)

    def _turn(self, topic: str) -> None:
        self._changed[topic] = None
        self._turned.set()

    async def _follow_for_ever(self) -> None:
        channel = await self._open_channel()
        hearing = asyncio.create_task(
            self._hear_for_ever(channel), name="netra-relay-hear"
        )
        try:
            while True:
                await self._turned.wait()
                self._turned.clear()
                while self._changed:
                    await self._follow(next(iter(self._changed)), channel)
        finally:
            hearing.cancel()
            await asyncio.wait({hearing}, timeout=PATIENCE)

    async def _open_channel(self) -> str:
        while True:
            try:
                async with asyncio.timeout(PATIENCE):
                    return str(await self._layer.new_channel())
            except AWAY as error:
                self._went_away(error)
                await self._forget_layer()
                await asyncio.sleep(RETRY_SECONDS)

    async def _follow(self, topic: str, channel: str) -> None:
        """Join or leave as is wanted now; where Redis is away, the next round tries again."""
        del self._changed[topic]
        turn = (
            self._layer.group_add
            if topic in self._wanted
            else self._layer.group_discard
        )
        try:
            async with asyncio.timeout(PATIENCE):
                await turn(topic, channel)
        except AWAY as error:
            self._changed[topic] = None
            self._went_away(error)
            await asyncio.sleep(RETRY_SECONDS)
        else:
            self._came_back()

    async def _hear_for_ever(self, channel: str) -> None:
        while True:
            carried = await self._layer.receive(channel)
            if carried["origin"] == self._origin:
                continue
            for name, body in carried["hints"]:
                self._deliver(carried["topic"], name, body)

    def _deliver(self, topic: str, name: str, body: bytes) -> None:
        try:
            message = self._adapters[name].validate_json(body)
        except (KeyError, ValidationError):
            # Another version of Netra may run beside this one during an update.
            log.warning(
                "a hint %s could not be read",
                name,
                exc_info=True,
                extra={"action": "relay.unreadable"},
            )
            return
        self._hub.deliver(topic, message)

    # -- Redis comes and goes ----------------------------------------------------------

    async def _forget_layer(self) -> None:
        try:
            async with asyncio.timeout(PATIENCE):
                await self._layer.flush()
        except AWAY as error:
            self._went_away(error)

    def _went_away(self, error: Exception) -> None:
        if not self.away:
            self.away = True
            log.warning(
                "Redis is away (%s: %s); everything goes on by polling",
                type(error).__name__,
                error,
                extra={"action": "relay.away"},
            )

    def _came_back(self) -> None:
        if self.away:
            self.away = False
            log.warning(
                "Redis is back; %d hints were lost so far",
                self.lost,
                extra={"action": "relay.back"},
            )


current: Relay | None = None  # of this process, for those who report on it
