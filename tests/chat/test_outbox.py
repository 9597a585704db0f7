"""The queue in front of a socket: bounded, in order, and never waiting for ever."""

from __future__ import annotations

import asyncio

import pytest

from apps.chat import outbox as module
from apps.chat.outbox import Outbox, OutboxClosedError, SlowConsumerError


def _keep_in(sent: list[str]):
    async def send(frame: str) -> None:
        sent.append(frame)

    return send


async def test_a_full_queue_refuses_and_an_answer_still_fits(monkeypatch):
    monkeypatch.setattr(module, "QUEUE_FRAMES", 2)
    sent: list[str] = []
    outbox = Outbox(_keep_in(sent))

    assert [outbox.put(frame) for frame in "abc"] == [True, True, False]
    outbox.put_anyway("d")
    await outbox.send_rest()

    assert sent == ["a", "b", "d"]


def test_a_queue_is_full_by_size_too(monkeypatch):
    monkeypatch.setattr(module, "QUEUE_BYTES", 10)
    outbox = Outbox(None)  # type: ignore[arg-type]  # nothing is sent here

    assert [outbox.put("a" * 10), outbox.put("b")] == [True, False]


def test_a_closed_queue_says_so():
    outbox = Outbox(None)  # type: ignore[arg-type]  # nothing is sent here
    outbox.close()

    with pytest.raises(OutboxClosedError):
        outbox.put("a")


async def test_who_waits_for_room_is_woken_when_the_socket_ends(monkeypatch):
    monkeypatch.setattr(module, "QUEUE_FRAMES", 1)
    outbox = Outbox(None)  # type: ignore[arg-type]  # nothing is sent here
    assert [outbox.put("a"), outbox.put("b")] == [True, False]
    waiting = asyncio.create_task(outbox.room())
    await asyncio.sleep(0)
    assert not waiting.done()

    outbox.close()

    await asyncio.wait_for(waiting, 1)


async def test_a_send_that_blocks_too_long_is_a_slow_consumer(monkeypatch):
    monkeypatch.setattr(module, "SEND_SECONDS", 0.02)

    async def never(frame: str) -> None:
        await asyncio.Event().wait()

    outbox = Outbox(never)
    outbox.put("a")

    with pytest.raises(SlowConsumerError):
        await outbox.run()


async def test_a_client_that_acknowledges_nothing_fills_its_window(monkeypatch):
    monkeypatch.setattr(module, "SEND_SECONDS", 0.05)
    sent: list[str] = []

    async def send(frame: str) -> None:
        sent.append(frame)

    outbox = Outbox(send, window=10)
    for _ in range(5):
        outbox.put("é" * 3)  # six bytes each

    with pytest.raises(SlowConsumerError):
        await outbox.run()
    assert len(sent) == 2


async def test_an_acknowledgement_opens_the_window():
    sent: list[str] = []

    async def send(frame: str) -> None:
        sent.append(frame)
        if len(sent) % 2 == 0:
            asyncio.get_running_loop().call_soon(outbox.acknowledge)

    outbox = Outbox(send, window=10)
    for _ in range(9):
        outbox.put("a" * 6)
    running = asyncio.create_task(outbox.run())
    async with asyncio.timeout(2):
        while len(sent) < 9:  # noqa: ASYNC110 - a list rings no bell
            await asyncio.sleep(0.001)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)

    assert len(sent) == 9
