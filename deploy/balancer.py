"""A small TCP balancer for one machine, where nginx is not installed: `make cluster` uses it.

Passes bytes, so it knows neither HTTP nor WebSocket. Not for the open network.

    python deploy/balancer.py 8000 8001 8002      # listen, then the servers
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import signal
import sys
from collections.abc import Iterator, Sequence

LOOPBACK = "127.0.0.1"
CONNECT_SECONDS = 2.0
HALF_SECONDS = (
    75.0  # one side has said all; the other may still answer, so long at most
)
MOST = 4096  # connections at once; further ones wait in the system's own queue
CHUNK = 64 * 1024
NOBODY = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain\r\nRetry-After: 2\r\n"
    b"Content-Length: 28\r\nConnection: close\r\n\r\nNo server of Netra answers.\n"
)
Ends = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Balancer:
    """Gives each new connection to the next server in turn, or to one that takes it."""

    def __init__(self, servers: Sequence[int]) -> None:
        self._servers = list(servers)
        self._turn = itertools.count()
        self._places = asyncio.Semaphore(MOST)
        self.open = 0

    async def serve(self, port: int) -> asyncio.Server:
        return await asyncio.start_server(self._accept, LOOPBACK, port, limit=CHUNK)

    def order(self) -> Iterator[int]:
        """Every server once, beginning with the one whose turn it is."""
        first = next(self._turn)
        for n in range(len(self._servers)):
            yield self._servers[(first + n) % len(self._servers)]

    async def _accept(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        async with self._places:
            self.open += 1
            try:
                behind = await self._connect()
                if behind is None:
                    writer.write(NOBODY)
                    await writer.drain()
                else:
                    await _join((reader, writer), behind)
            except OSError:
                writer.transport.abort()
            finally:
                writer.close()
                self.open -= 1

    async def _connect(self) -> Ends | None:
        for port in self.order():
            with contextlib.suppress(OSError, TimeoutError):
                async with asyncio.timeout(CONNECT_SECONDS):
                    return await asyncio.open_connection(LOOPBACK, port, limit=CHUNK)
        return None


async def _join(one: Ends, other: Ends) -> None:
    """Carry bytes both ways until both sides have said all; a break of one breaks the other."""
    ways = [
        asyncio.create_task(_carry(one[0], other[1])),
        asyncio.create_task(_carry(other[0], one[1])),
    ]
    try:
        done, still = await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        if still and not any(way.exception() for way in done):
            done, still = await asyncio.wait(ways, timeout=HALF_SECONDS)
        if still or any(way.exception() for way in done):
            one[1].transport.abort()
            other[1].transport.abort()
    finally:
        for way in ways:
            way.cancel()
        await asyncio.gather(*ways, return_exceptions=True)
        other[1].close()


async def _carry(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    """Copy until the end, which is passed on as an end of this direction only."""
    while data := await source.read(CHUNK):
        target.write(data)
        await target.drain()
    target.write_eof()


async def main(port: int, servers: Sequence[int]) -> None:
    """Balance until a signal."""
    ended = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    listening = await Balancer(servers).serve(port)
    await ended.wait()
    listening.close()


if __name__ == "__main__":
    first, *rest = (int(word) for word in sys.argv[1:])
    asyncio.run(main(first, rest))
