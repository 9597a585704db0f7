"""The relay: hints reach other processes once each and in order, and Redis may go away."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime

import pytest

from apps.accounts.events import AccessEnded, EndOfAccess
from apps.chat.connections import ThreadNotice
from apps.core import relay as relays
from apps.core.hub import Hub, crossing
from apps.core.relay import Relay
from apps.executions.events import (
    ExecutionCancelRequested,
    LogEntry,
    StreamAdvanced,
    TextDelta,
)
from apps.executions.states import EventType

ONE = uuid.UUID(int=1)
ENTRY = LogEntry(
    stream_id=ONE,
    seq=7,
    event_uid=uuid.UUID(int=2),
    execution_id=None,
    attempt=0,
    type=EventType.MESSAGE_CREATED,
    payload={"text": "äöü 👩‍👩‍👧", "nested": {"list": [1, 2.5, None, True]}},
    at=datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC),
)
HINTS = [
    StreamAdvanced(entries=(ENTRY, ENTRY)),
    TextDelta(
        stream_id=ONE, execution_id=ONE, message_id=None, attempt=2, offset=5, text="é"
    ),
    ExecutionCancelRequested(execution_id=ONE, organisation_id=ONE),
    ThreadNotice(kind="typing", thread_id=None, origin=ONE),
    AccessEnded(user_id=ONE, organisation_id=None, why=EndOfAccess.LOGGED_OUT),
]


def delta(offset: int) -> TextDelta:
    return TextDelta(
        stream_id=ONE,
        execution_id=ONE,
        message_id=ONE,
        attempt=1,
        offset=offset,
        text="x",
    )


class Wire:
    """A channel layer that all its users share, and that can be cut."""

    def __init__(self) -> None:
        self.groups: dict[str, set[str]] = defaultdict(set)
        self.channels: dict[str, asyncio.Queue[dict[str, object]]] = {}
        self.cut = False
        self.sent = 0

    def _check(self) -> None:
        if self.cut:
            raise ConnectionError("the wire is cut")

    async def new_channel(self) -> str:
        self._check()
        name = uuid.uuid4().hex
        self.channels[name] = asyncio.Queue()
        return name

    async def receive(self, channel: str) -> dict[str, object]:
        return await self.channels[channel].get()

    async def group_add(self, group: str, channel: str) -> None:
        self._check()
        self.groups[group].add(channel)

    async def group_discard(self, group: str, channel: str) -> None:
        self._check()
        self.groups[group].discard(channel)

    async def group_send(self, group: str, message: dict[str, object]) -> None:
        self._check()
        self.sent += 1
        for channel in self.groups[group]:
            self.channels[channel].put_nowait(message)

    async def flush(self) -> None:
        self._check()


async def eventually(claim: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not claim():  # noqa: ASYNC110 - any claim, with no event of its own
            await asyncio.sleep(0.001)


@pytest.fixture
def wire(monkeypatch: pytest.MonkeyPatch) -> Wire:
    monkeypatch.setattr(relays, "RETRY_SECONDS", 0.01)
    return Wire()


@pytest.fixture
async def processes(wire: Wire) -> AsyncIterator[list[tuple[Hub, Relay]]]:
    """Two hubs, as if each were in a process of its own."""
    made = []
    for _ in range(2):
        hub = Hub()
        hub.bind(asyncio.get_running_loop())
        made.append((hub, Relay(hub, wire)))
        made[-1][1].start()
    yield made
    for hub, relay in made:
        await relay.stop()
        hub.unbind()


@pytest.mark.parametrize("hint", HINTS, ids=lambda hint: type(hint).__name__)
async def test_a_hint_arrives_as_it_was_sent(hint, wire: Wire, processes) -> None:
    (here, _), (there, _) = processes
    heard: list[object] = []
    there.watch("t", heard.append)
    await eventually(lambda: bool(wire.groups["t"]))

    here.publish("t", hint)
    await eventually(lambda: bool(heard))

    assert heard == [hint]
    assert type(heard[0]) is type(hint)


def test_every_kind_of_hint_that_crosses_is_tried_above() -> None:
    assert set(crossing()) == {type(hint).__name__ for hint in HINTS}


@pytest.mark.mission_critical
async def test_many_hints_arrive_once_each_in_order_and_not_where_they_came_from(
    wire: Wire, processes
) -> None:
    (here, _), (there, _) = processes
    own: list[int] = []
    heard: list[int] = []
    here.watch("t", lambda hint: own.append(hint.offset))
    there.watch("t", lambda hint: heard.append(hint.offset))
    await eventually(lambda: len(wire.groups["t"]) == 2)

    for n in range(1500):
        here.publish("t", delta(n))
    await eventually(lambda: len(heard) >= 1500)

    assert own == heard == list(range(1500))
    assert wire.sent < 20  # they travelled together


@pytest.mark.security
async def test_only_watched_topics_are_followed(wire: Wire, processes) -> None:
    (here, _), (there, _) = processes
    heard: list[object] = []
    there.watch("mine", heard.append)
    await eventually(lambda: bool(wire.groups["mine"]))

    here.publish("others", delta(0))
    here.publish("mine", delta(1))
    await eventually(lambda: bool(heard))

    assert heard == [delta(1)]
    assert not wire.groups["others"]


async def test_a_topic_is_left_with_its_last_watcher(wire: Wire, processes) -> None:
    _, (there, _) = processes
    first, second = [], []
    there.watch("t", first.append)
    there.watch("t", second.append)
    await eventually(lambda: bool(wire.groups["t"]))

    there.unwatch("t", first.append)
    await asyncio.sleep(0.01)
    kept = set(wire.groups["t"])
    there.unwatch("t", second.append)
    await eventually(lambda: not wire.groups["t"])

    assert kept


@pytest.mark.faults
async def test_while_redis_is_away_hints_are_dropped_counted_and_told_of_once(
    wire: Wire, processes, caplog: pytest.LogCaptureFixture
) -> None:
    (here, relay), (there, _) = processes
    heard: list[object] = []
    there.watch("t", heard.append)
    await eventually(lambda: bool(wire.groups["t"]))
    wire.cut = True

    with caplog.at_level(logging.WARNING):
        for n in range(5):
            here.publish("t", delta(n))
            await asyncio.sleep(0.01)
        there.watch("new", heard.append)
        await asyncio.sleep(0.05)
        wire.cut = False
        here.publish("t", delta(5))
        await eventually(lambda: bool(heard) and bool(wire.groups["new"]))

    assert heard == [delta(5)]
    assert relay.lost == 5
    told = [record.action for record in caplog.records]
    assert sorted(told) == ["relay.away", "relay.away", "relay.back", "relay.back"]


@pytest.mark.faults
async def test_a_start_without_redis_is_made_good_when_it_comes(wire: Wire) -> None:
    wire.cut = True
    hub = Hub()
    hub.bind(asyncio.get_running_loop())
    heard: list[object] = []
    hub.watch("t", heard.append)
    relay = Relay(hub, wire)
    relay.start()
    await eventually(lambda: relay.away)

    wire.cut = False
    await eventually(lambda: bool(wire.groups["t"]))

    assert not relay.away
    await relay.stop()
    hub.unbind()


@pytest.mark.faults
async def test_that_redis_went_and_came_is_noticed_without_a_hint(
    wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relays, "PULSE_SECONDS", 0.01)
    hub = Hub()
    hub.bind(asyncio.get_running_loop())
    relay = Relay(hub, wire)
    relay.start()
    assert relays.current is relay

    wire.cut = True
    await eventually(lambda: relay.away)
    wire.cut = False
    await eventually(lambda: not relay.away)

    assert relay.lost == 0
    await relay.stop()
    assert relays.current is None
    hub.unbind()


@pytest.mark.faults
async def test_a_frozen_redis_holds_up_nobody_and_the_queue_is_bounded(
    wire: Wire, processes, monkeypatch: pytest.MonkeyPatch
) -> None:
    (here, relay), _ = processes
    frozen = asyncio.Event()
    monkeypatch.setattr(wire, "group_send", lambda *_: frozen.wait())
    here.publish("t", delta(0))
    await asyncio.sleep(0.01)  # the first one hangs in Redis

    for n in range(relays.QUEUE_LIMIT + 10):
        here.publish("t", delta(n))

    assert relay.lost == 10
    assert len(relay._waiting) == relays.QUEUE_LIMIT
    relay._waiting.clear()
    frozen.set()


async def test_a_hint_of_another_version_is_skipped_and_told(
    wire: Wire, processes, caplog: pytest.LogCaptureFixture
) -> None:
    _, (there, _) = processes
    heard: list[object] = []
    there.watch("t", heard.append)
    await eventually(lambda: bool(wire.groups["t"]))
    hints = [("Unknown", b"{}"), ("TextDelta", b'{"offset": "x"}')]

    await wire.group_send("t", {"origin": "x", "topic": "t", "hints": hints})
    await eventually(lambda: len(caplog.records) == 2)

    assert heard == []
    assert {record.action for record in caplog.records} == {"relay.unreadable"}
