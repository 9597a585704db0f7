"""How a process ends: nothing new is taken, what runs may end, and what does not is handed back."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from apps.chat.connections import connections
from apps.core.hub import hub
from apps.executions.runner import runner
from netra import runtime as runtimes
from netra.runtime import Runtime

pytestmark = pytest.mark.integration
PATIENCE = 10.0


class Work:
    """Stands in the runner as an execution that ends when it is told to."""


@pytest.fixture
async def running(
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[Runtime]:
    """A runtime that has begun; its database is not needed."""
    made = Runtime()
    handed_back: list[float] = []

    async def stop(drain: float = 60) -> None:
        handed_back.append(drain)
        runner.running.clear()

    monkeypatch.setattr(runner, "stop", stop)
    monkeypatch.setattr(runner, "accepting", True)
    monkeypatch.setattr(runtimes, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(runtimes, "handed_back", handed_back, raising=False)
    made.running = made.ready = True
    hub.bind(asyncio.get_running_loop())
    yield made
    runner.running.clear()
    connections.refusing = None


async def until_refusing() -> None:
    async with asyncio.timeout(PATIENCE):
        while connections.refusing is None:  # noqa: ASYNC110 - a plain attribute
            await asyncio.sleep(0.005)


async def test_nothing_new_is_taken_while_what_runs_may_end(running, monkeypatch):
    monkeypatch.setattr(runtimes, "DRAIN_SECONDS", PATIENCE)
    runner.running["x"] = Work()  # type: ignore[index,assignment]

    ending = asyncio.create_task(running.stop())
    await until_refusing()
    await asyncio.sleep(0.05)

    assert not ending.done()
    assert not runner.accepting
    assert runner.free == 0
    assert not running.ready
    runner.running.clear()
    await asyncio.wait_for(ending, PATIENCE)
    assert not running.running


async def test_what_does_not_end_in_time_is_handed_back(running, monkeypatch):
    monkeypatch.setattr(runtimes, "DRAIN_SECONDS", 0.05)
    runner.running["x"] = Work()  # type: ignore[index,assignment]

    await asyncio.wait_for(running.stop(), PATIENCE)

    assert runtimes.handed_back == [0]  # type: ignore[attr-defined]


async def test_asked_a_second_time_it_hands_back_at_once(running, monkeypatch):
    monkeypatch.setattr(runtimes, "DRAIN_SECONDS", 600.0)
    runner.running["x"] = Work()  # type: ignore[index,assignment]
    ending = asyncio.create_task(running.stop())
    await until_refusing()
    assert "1 running execution ended" in running.farewell()
    assert "Ctrl+C again" in running.farewell()

    running.hurry()

    await asyncio.wait_for(ending, PATIENCE)
    assert running.farewell() == "Netra stops."


@pytest.mark.parametrize("sole", [True, False])
async def test_people_are_sent_to_other_servers_first_and_hear_the_end_where_there_is_none(
    running, monkeypatch, sole
):
    told: list[str] = []

    async def stop() -> None:
        told.append("sockets")

    async def drain() -> None:
        told.append("drain")

    running.sole = sole
    monkeypatch.setattr(connections, "stop", stop)
    monkeypatch.setattr(running, "_drain", drain)

    await running.stop()

    assert told == (["drain", "sockets"] if sole else ["sockets", "drain", "sockets"])


async def test_all_who_ask_it_to_stop_wait_for_the_same_end(running, monkeypatch):
    monkeypatch.setattr(runtimes, "DRAIN_SECONDS", PATIENCE)
    runner.running["x"] = Work()  # type: ignore[index,assignment]
    first = asyncio.create_task(running.stop())
    await until_refusing()
    second = asyncio.create_task(running.stop())
    await asyncio.sleep(0.05)
    assert not second.done()

    runner.running.clear()

    await asyncio.wait_for(asyncio.gather(first, second), PATIENCE)
    assert runtimes.handed_back == [0]  # type: ignore[attr-defined]


async def test_a_start_that_still_waits_is_given_up(monkeypatch):
    made = Runtime()
    waited: list[str] = []

    async def for_ever() -> None:
        waited.append("began")
        try:
            await asyncio.Event().wait()
        finally:
            waited.append("ended")

    made.wait_first = for_ever
    made.launch(or_else=lambda: waited.append("failed"))
    async with asyncio.timeout(PATIENCE):
        while not waited:  # noqa: ASYNC110 - a plain list
            await asyncio.sleep(0.005)
    assert connections.refusing is not None

    began = time.monotonic()
    await made.stop()

    assert waited == ["began", "ended"]
    assert time.monotonic() - began < PATIENCE
    assert made.failure is None
    connections.refusing = None


async def test_a_start_that_fails_is_told_to_who_launched_it():
    made = Runtime()
    told: list[BaseException | None] = []

    async def fail() -> None:
        raise OSError("no such place")

    made.wait_first = fail
    made.launch(or_else=lambda: told.append(made.failure))
    assert made.starting is not None
    await asyncio.wait({made.starting})
    await asyncio.sleep(0)

    assert [str(error) for error in told] == ["no such place"]
    await made.stop()
    connections.refusing = None
