"""The live hub: in order, once each, from any thread, and one watcher never spoils another's day."""

from __future__ import annotations

import asyncio
import threading

import pytest

from apps.core.hub import Hub


@pytest.fixture
async def hub():
    hub = Hub()
    hub.bind(asyncio.get_running_loop())
    yield hub
    hub.unbind()


async def test_only_the_watchers_of_a_topic_are_told(hub: Hub) -> None:
    mine, other = [], []
    hub.watch("a", mine.append)
    hub.watch("b", other.append)

    hub.publish("a", 1)
    hub.publish("a", 2)

    assert (mine, other) == ([1, 2], [])


async def test_who_stopped_watching_is_told_nothing_more(hub: Hub) -> None:
    seen = []
    hub.watch("a", seen.append)
    hub.publish("a", 1)

    hub.unwatch("a", seen.append)
    hub.publish("a", 2)

    assert seen == [1]
    assert hub.topics() == []


async def test_a_failing_watcher_stops_neither_its_neighbours_nor_what_follows(
    hub: Hub, caplog
) -> None:
    seen = []

    def fails(message: object) -> None:
        raise ValueError(message)

    hub.watch("a", fails)
    hub.watch("a", seen.append)

    hub.publish("a", 1)
    hub.publish("a", 2)

    assert seen == [1, 2]
    assert [record.action for record in caplog.records] == ["hub.watcher_failed"] * 2


@pytest.mark.regression
async def test_a_watcher_that_publishes_does_not_overtake_its_neighbours(
    hub: Hub,
) -> None:
    first, second = [], []

    def answers(message: int) -> None:
        first.append(message)
        if message == 1:
            hub.publish("a", 2)

    hub.watch("a", answers)
    hub.watch("a", second.append)

    hub.publish("a", 1)

    assert first == [1, 2]
    assert second == [1, 2]


@pytest.mark.mission_critical
async def test_messages_from_many_threads_arrive_once_each_and_in_their_order(
    hub: Hub,
) -> None:
    threads, each = 6, 400
    seen: list[tuple[int, int]] = []
    hub.watch("a", seen.append)

    def publishes(number: int) -> None:
        for n in range(each):
            hub.publish("a", (number, n))

    workers = [
        threading.Thread(target=publishes, args=(number,)) for number in range(threads)
    ]
    for worker in workers:
        worker.start()
    for n in range(each):  # and the loop's own thread at the same time
        hub.publish("a", (threads, n))
        await asyncio.sleep(0)
    for worker in workers:
        await asyncio.to_thread(worker.join, 10)
    await asyncio.sleep(0)  # what was posted last is drained by the loop's next turn

    for number in range(threads + 1):
        assert [n for who, n in seen if who == number] == list(range(each))


async def test_watchers_are_called_on_the_loops_thread(hub: Hub) -> None:
    called = asyncio.Event()
    threads = []

    def watcher(message: object) -> None:
        threads.append(threading.get_ident())
        called.set()

    hub.watch("a", watcher)

    await asyncio.to_thread(hub.publish, "a", 1)
    await asyncio.wait_for(called.wait(), 5)

    assert threads == [threading.get_ident()]


async def test_other_processes_are_told_through_the_relay_once(hub: Hub) -> None:
    relayed, seen = [], []
    hub.relay = lambda topic, message: relayed.append((topic, message))
    hub.watch("a", seen.append)

    hub.publish("a", 1)
    hub.deliver("a", 2)  # what came from there is not sent back

    assert relayed == [("a", 1)]
    assert seen == [1, 2]


def test_without_a_loop_hints_are_dropped_and_nothing_piles_up() -> None:
    hub = Hub()
    for n in range(10):
        hub.publish("a", n)

    assert not hub._box


def test_a_loop_that_is_closed_is_no_error() -> None:
    hub, loop = Hub(), asyncio.new_event_loop()
    loop.run_until_complete(_bind(hub, loop))
    loop.close()

    worker = threading.Thread(target=hub.publish, args=("a", 1))
    worker.start()
    worker.join(5)

    hub.unbind()
    assert hub.loop is None


async def _bind(hub: Hub, loop: asyncio.AbstractEventLoop) -> None:
    hub.bind(loop)


async def test_the_first_watcher_and_the_last_are_told_of(hub: Hub) -> None:
    told: list[str] = []
    hub.on_first_watch = lambda topic: told.append(f"+{topic}")
    hub.on_last_unwatch = lambda topic: told.append(f"-{topic}")
    one, two = [], []

    hub.watch("a", one.append)
    hub.watch("a", two.append)
    hub.unwatch("a", one.append)
    hub.unwatch("b", one.append)
    hub.unwatch("a", two.append)
    hub.unwatch("a", two.append)

    assert told == ["+a", "-a"]
