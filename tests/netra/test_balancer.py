"""The balancer of `make cluster`: bytes both ways, each side's end passed on, no server is missed."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Self

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "deploy"))
import balancer
from balancer import Balancer

from tests.live.installation import free_port

pytestmark = pytest.mark.integration
PATIENCE = 10.0


class Behind:
    """A server that names itself, then returns whatever it is sent, until that ends."""

    def __init__(self, name: bytes) -> None:
        self.name, self.port, self.taken, self.open = name, free_port(), 0, 0

    async def __aenter__(self) -> Self:
        self.server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.server.close()
        await gone(self)

    async def _serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.taken += 1
        self.open += 1
        with contextlib.suppress(ConnectionError):
            writer.write(self.name)
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
            writer.write(b"bye")
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
        self.open -= 1


@contextlib.asynccontextmanager
async def front(*ports: int) -> AsyncIterator[int]:
    port = free_port()
    balancing = Balancer(ports)
    server = await balancing.serve(port)
    yield port
    server.close()
    await gone(balancing)


async def gone(one: Behind | Balancer) -> None:
    """Wait until it has no connection any more, so that no test leaves a socket behind."""
    async with asyncio.timeout(PATIENCE):
        while one.open:  # noqa: ASYNC110 - a plain number
            await asyncio.sleep(0.005)
    await asyncio.sleep(0.02)  # transports close on the loop's next turns


async def ask(port: int, body: bytes) -> bytes:
    """Send, say that this was all, and read to the end."""
    async with asyncio.timeout(PATIENCE):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)

        async def send() -> None:
            writer.write(body)
            await writer.drain()
            writer.write_eof()

        _, got = await asyncio.gather(send(), reader.read())
        writer.close()
        await writer.wait_closed()
        return got


async def test_an_end_of_one_side_does_not_cut_off_the_other() -> None:
    body = os.urandom(3_000_000)
    async with Behind(b"a") as a, front(a.port) as port:
        assert await ask(port, body) == b"a" + body + b"bye"


async def test_servers_take_turns() -> None:
    async with Behind(b"a") as a, Behind(b"b") as b, front(a.port, b.port) as port:
        heard = [(await ask(port, b""))[:1] for _ in range(4)]

    assert heard == [b"a", b"b", b"a", b"b"]


async def test_a_server_that_refuses_is_passed_over() -> None:
    async with Behind(b"b") as b, front(free_port(), b.port, free_port()) as port:
        heard = {await ask(port, b"x") for _ in range(6)}

    assert heard == {b"bxbye"}
    assert b.taken == 6


async def test_without_any_server_a_browser_is_told_so() -> None:
    async with front(free_port(), free_port()) as port:
        said = await ask(port, b"GET / HTTP/1.1\r\n\r\n")

    head, _, body = said.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 503")
    assert b"Content-Length: %d" % len(body) in head


async def test_a_server_that_breaks_off_breaks_its_clients_and_no_others() -> None:
    async with Behind(b"a") as a, Behind(b"b") as b, front(a.port, b.port) as port:
        one = await asyncio.open_connection("127.0.0.1", port)
        other = await asyncio.open_connection("127.0.0.1", port)
        for reader, _ in (one, other):
            await reader.readexactly(1)

        one[1].transport.abort()
        other[1].write(b"still here")
        async with asyncio.timeout(PATIENCE):
            assert await other[0].readexactly(10) == b"still here"
        other[1].close()


async def test_who_never_answers_an_end_is_cut_off(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(balancer, "HALF_SECONDS", 0.05)

    async def hold(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await over.wait()
        writer.transport.abort()

    over = asyncio.Event()
    port = free_port()
    silent = await asyncio.start_server(hold, "127.0.0.1", port)
    async with front(port) as door:
        with contextlib.suppress(ConnectionResetError):
            assert await ask(door, b"x") == b""
    over.set()
    silent.close()
    await asyncio.sleep(0.02)


async def test_connections_beyond_the_limit_wait(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(balancer, "MOST", 1)
    async with Behind(b"a") as a, front(a.port) as port:
        first = await asyncio.open_connection("127.0.0.1", port)
        await first[0].readexactly(1)
        second = asyncio.create_task(ask(port, b"2"))
        await asyncio.sleep(0.05)
        assert a.taken == 1

        first[1].close()

        assert await second == b"a2bye"
