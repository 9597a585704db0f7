"""A TCP proxy on loopback that can be told to misbehave while it runs, in a thread of its own.

with FaultProxy(target_port) as proxy:      # proxy.port instead of the target's
    proxy.delay(0.5); proxy.freeze(); proxy.reset(); proxy.refuse(); proxy.mend()
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field, replace
from typing import Any, Self

CHUNK = 65_536
WAITING = 1000  # chunks on their way in one direction; then the sender has to wait
LOOP_SECONDS = 10
RESET = struct.pack("ii", 1, 0)  # SO_LINGER of no seconds: closing sends RST, not FIN


@dataclass(frozen=True)
class Weather:
    """How the wire behaves."""

    delay: float = 0.0  # seconds that each byte is late
    rate: float = 0.0  # bytes a second; 0: as fast as it comes
    frozen: bool = (
        False  # nothing passes; what was sent arrives afterwards, as with TCP
    )


@dataclass(eq=False)
class Link:
    """One client and its connection to the target."""

    near: asyncio.StreamWriter
    far: asyncio.StreamWriter
    deaf: bool = False  # half open: the target's words go nowhere
    tasks: list[asyncio.Task[None]] = field(default_factory=list)


class FaultProxy:
    """Listens on `port` and connects each client to the target."""

    def __init__(self, target: int) -> None:
        self.target = target
        self.links: set[Link] = set()
        self._weather, self._changed = Weather(), asyncio.Event()
        self._server: asyncio.Server | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]

    def __enter__(self) -> Self:
        self._thread.start()
        self._do(self._listen())
        return self

    def __exit__(self, *_: object) -> None:
        self._do(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(LOOP_SECONDS)
        self._loop.close()

    # -- what it can be told -------------------------------------------------------------

    def mend(self) -> None:
        """Behave well again, for links that are left and new ones."""
        self._set(Weather())
        self._do(self._listen())

    def delay(self, seconds: float) -> None:
        self._set(replace(self._weather, delay=seconds))

    def throttle(self, bytes_per_second: float) -> None:
        self._set(replace(self._weather, rate=bytes_per_second))

    def freeze(self) -> None:
        """A black hole: connections stay, and new ones are taken, but nothing passes."""
        self._set(replace(self._weather, frozen=True))

    def refuse(self) -> None:
        """Take no new connections; those that are there go on."""
        self._do(self._deafen())

    def reset(self) -> int:
        """Break every connection with RST on both sides; returns how many."""
        return self._do(self._each(_break_off))

    def leave_half_open(self) -> int:
        """Break the clients' side only: the target goes on believing in its connections."""
        return self._do(self._each(_leave_target))

    def cut(self) -> None:
        """The target is gone: existing connections break, new ones are refused."""
        self.refuse()
        self.reset()

    # -- on the loop ---------------------------------------------------------------------

    def _do(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(LOOP_SECONDS)

    def _set(self, weather: Weather) -> None:
        async def change() -> None:
            self._weather = weather
            self._changed.set()
            self._changed = asyncio.Event()

        self._do(change())

    async def _listen(self) -> None:
        if self._server is None:
            self._server = await asyncio.start_server(
                self._serve, "127.0.0.1", self.port
            )

    async def _deafen(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None

    async def _close(self) -> None:
        await self._deafen()
        tasks = [task for link in self.links for task in link.tasks]
        await self._each(_break_off)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _each(self, work: Callable[[Link], None]) -> int:
        links = list(self.links)
        for link in links:
            work(link)
        return len(links)

    async def _serve(
        self, reader: asyncio.StreamReader, near: asyncio.StreamWriter
    ) -> None:
        try:
            far_reader, far = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            _abort(near)
            return
        link = Link(near, far)
        self.links.add(link)
        link.tasks = [
            asyncio.ensure_future(self._carry(reader, far, link, inward=True)),
            asyncio.ensure_future(self._carry(far_reader, near, link, inward=False)),
        ]
        await asyncio.gather(*link.tasks, return_exceptions=True)
        self.links.discard(link)
        for writer in (near, far):
            writer.close()

    async def _carry(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        link: Link,
        *,
        inward: bool,
    ) -> None:
        """Read at once, write when it is due: a delay is a delay, not a lower rate."""
        waiting: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(WAITING)

        async def read() -> None:
            while data := await reader.read(CHUNK):
                await waiting.put((time.monotonic(), data))
            await waiting.put((time.monotonic(), b""))

        reading = asyncio.ensure_future(read())
        try:
            while True:
                came, data = await waiting.get()
                await self._until_due(came, len(data))
                if link.deaf:
                    if inward:
                        await (
                            asyncio.Event().wait()
                        )  # the client is gone, without a word
                    continue
                if not data:
                    with contextlib.suppress(OSError):
                        writer.write_eof()
                    return
                writer.write(data)
                await writer.drain()
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)

    async def _until_due(self, came: float, size: int) -> None:
        while self._weather.frozen:
            await self._changed.wait()
        weather = self._weather
        late = came + weather.delay - time.monotonic()
        await asyncio.sleep(max(late, 0) + (size / weather.rate if weather.rate else 0))


def _abort(writer: asyncio.StreamWriter) -> None:
    """Close with RST."""
    raw = writer.get_extra_info("socket")
    if raw is not None:
        with contextlib.suppress(OSError):
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    writer.transport.abort()


def _break_off(link: Link) -> None:
    _abort(link.near)
    _abort(link.far)


def _leave_target(link: Link) -> None:
    link.deaf = True
    _abort(link.near)
