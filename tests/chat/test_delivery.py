"""One socket's view of a thread: whatever the order of hints, each event goes out once and in line."""

from __future__ import annotations

import asyncio
import json
import random
import uuid
from collections.abc import AsyncIterator, Callable
from functools import partial

import pytest
from django.utils import timezone

from apps.chat import delivery, subscriptions
from apps.chat.outbox import Outbox
from apps.chat.subscriptions import Subscription, event_frame
from apps.core.database import read, write
from apps.executions import actions, endings, journal, queries
from apps.executions.events import LogEntry, TextDelta
from apps.executions.journal import Draft
from apps.executions.standing import Standing
from apps.executions.states import EventType, ExecutionState
from tests import factories
from tests.chat.questions import aside
from tests.factories import TESTS

pytestmark = [pytest.mark.mission_critical, pytest.mark.golden_path]
PATIENCE = 10.0


class Socket:
    """What one client got."""

    def __init__(self) -> None:
        self.frames: list[dict] = []
        self.outbox = Outbox(self.take)

    async def take(self, text: str) -> None:
        self.frames.append(json.loads(text))

    @property
    def kinds(self) -> list[str]:
        return [frame["type"] for frame in self.frames]

    @property
    def numbers(self) -> list[int]:
        return [frame["seq"] for frame in self.frames if "seq" in frame]

    async def until(self, wanted: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE):
            while not wanted():  # noqa: ASYNC110 - a list rings no bell
                await asyncio.sleep(0.005)


@pytest.fixture
async def socket(committed) -> AsyncIterator[Socket]:
    socket = Socket()
    writer = asyncio.create_task(socket.outbox.run())
    yield socket
    writer.cancel()
    await asyncio.gather(writer, return_exceptions=True)


async def append(who, stream_id: uuid.UUID, count: int) -> list[LogEntry]:
    drafts = [Draft(type=EventType.MESSAGE_CREATED, payload={}) for _ in range(count)]
    unit = partial(
        journal.append,
        organisation_id=who.organisation_id,
        stream_id=stream_id,
        drafts=drafts,
        now=timezone.now(),
    )
    return await write(who.scope, unit)


async def stream_of(who) -> uuid.UUID:
    return await aside(factories.stream, who)


async def position(stream_id: uuid.UUID) -> queries.Position:
    found = await read(TESTS, lambda: queries.position_of(stream_id))
    assert found is not None
    return found


def piece(standing: Standing, offset: int, text: str) -> TextDelta:
    return TextDelta(
        stream_id=standing.stream_id,
        execution_id=standing.id,
        message_id=standing.reply_id,
        attempt=standing.attempt,
        offset=offset,
        text=text,
    )


def hear(subscription: Subscription, delta: TextDelta) -> None:
    subscription.offer_delta(delta, delivery._delta_frame(delta))


# -- events --------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(8))
async def test_hints_in_any_order_lost_and_doubled_arrive_in_line(
    socket: Socket, alice_principal, seed: int
):
    stream_id = await stream_of(alice_principal)
    entries = await append(alice_principal, stream_id, 40)
    order = random.Random(seed)  # noqa: S311 - any order will do
    hints = [entry for entry in entries * 2 if order.random() < 0.6] + [entries[-1]]
    order.shuffle(hints)
    subscription = Subscription(alice_principal.scope, stream_id, socket.outbox, 0)

    for entry in hints:
        subscription.offer(entry, event_frame(entry))
        if order.random() < 0.2:
            await asyncio.sleep(0.001)
    await socket.until(lambda: 40 in socket.numbers)

    assert socket.numbers == list(range(1, 41))
    subscription.close()


async def test_a_full_queue_delays_and_loses_nothing(
    socket: Socket, alice_principal, monkeypatch
):
    monkeypatch.setattr("apps.chat.outbox.QUEUE_FRAMES", 4)
    stream_id = await stream_of(alice_principal)
    entries = await append(alice_principal, stream_id, 60)
    subscription = Subscription(alice_principal.scope, stream_id, socket.outbox, 0)

    for entry in entries:
        subscription.offer(entry, event_frame(entry))
    await socket.until(lambda: 60 in socket.numbers)

    assert socket.numbers == list(range(1, 61))
    subscription.close()


@pytest.mark.regression
async def test_what_is_read_from_the_log_waits_for_the_answer_too(
    socket: Socket, alice_principal
):
    stream_id = await stream_of(alice_principal)
    subscription = Subscription(alice_principal.scope, stream_id, socket.outbox, 0)
    subscription.hold()
    await append(alice_principal, stream_id, 2)

    subscription.catch_up()  # the poll saw the rows before the asker was answered
    await asyncio.sleep(0.05)
    assert socket.frames == []
    socket.outbox.put_anyway('{"type": "message_accepted"}')
    subscription.release()
    await socket.until(lambda: len(socket.frames) == 3)

    assert socket.kinds == ["message_accepted", "message_created", "message_created"]
    subscription.close()


# -- replay --------------------------------------------------------------------------


async def test_a_replay_ends_with_what_is_alive(socket: Socket, alice_principal):
    standing = await aside(factories.running, alice_principal)
    subscription = Subscription(
        alice_principal.scope, standing.stream_id, socket.outbox, 0
    )

    subscription.replay("r", await position(standing.stream_id))
    await socket.until(lambda: "message_snapshot" in socket.kinds)

    assert socket.kinds == ["agent_started", "replayed", "message_snapshot"]
    replayed = socket.frames[1]
    assert (replayed["id"], replayed["data"]["state"]) == ("r", "active")
    assert replayed["data"]["through"] == 1
    subscription.close()


@pytest.mark.regression
async def test_what_ends_during_a_replay_is_not_called_alive(
    socket: Socket, alice_principal, monkeypatch
):
    standing = await aside(factories.running, alice_principal)
    looked = False

    async def read_and_then_it_ends(scope, work):
        nonlocal looked
        found = await read(scope, work)
        if not looked and any(isinstance(item, Standing) for item in found):
            looked = True
            await aside(factories.finish, standing, text="whole")
        return found

    monkeypatch.setattr(subscriptions, "read", read_and_then_it_ends)
    subscription = Subscription(
        alice_principal.scope, standing.stream_id, socket.outbox, 0
    )
    subscription.replay("r", await position(standing.stream_id))
    await socket.until(lambda: "replayed" in socket.kinds)
    await socket.until(lambda: subscription._reading is None)

    assert looked
    assert socket.kinds == ["agent_started", "agent_completed", "replayed"]
    assert socket.frames[-1]["data"]["state"] == "idle"
    assert socket.frames[-1]["data"]["executions"] == []


# -- text ----------------------------------------------------------------------------


async def test_text_with_a_gap_is_healed_by_a_snapshot(socket: Socket, alice_principal):
    standing = await aside(factories.running, alice_principal)
    await _keep(alice_principal, standing, "one two ")
    subscription = Subscription(
        alice_principal.scope, standing.stream_id, socket.outbox, 1
    )

    hear(subscription, piece(standing, 4, "two "))
    hear(subscription, piece(standing, 8, "three "))
    await subscription.heal()
    hear(subscription, piece(standing, 8, "three "))
    await socket.until(lambda: len(socket.frames) == 2)

    assert socket.kinds == ["message_snapshot", "message_delta"]
    assert socket.frames[0]["data"]["text"] == "one two "


async def test_deltas_in_line_go_straight_through(socket: Socket, alice_principal):
    standing = await aside(factories.running, alice_principal)
    subscription = Subscription(
        alice_principal.scope, standing.stream_id, socket.outbox, 1
    )

    hear(subscription, piece(standing, 0, "𝔘"))
    hear(subscription, piece(standing, 1, "b"))
    await socket.until(lambda: len(socket.frames) == 2)

    assert [frame["data"]["offset"] for frame in socket.frames] == [0, 1]


@pytest.mark.regression
async def test_no_snapshot_follows_the_end(
    socket: Socket, alice_principal, monkeypatch
):
    standing = await aside(factories.running, alice_principal)
    subscription = Subscription(
        alice_principal.scope, standing.stream_id, socket.outbox, 1
    )
    hear(subscription, piece(standing, 4, "late"))  # a gap

    async def read_and_then_it_ends(scope, work):
        found = await read(scope, work)
        await _end(alice_principal, standing)
        for entry in await read(
            scope, lambda: queries.events_after(standing.stream_id, 1)
        ):
            subscription.offer(entry, event_frame(entry))
        return found

    monkeypatch.setattr(subscriptions, "read", read_and_then_it_ends)
    await subscription.heal()
    await socket.until(lambda: bool(socket.frames))
    await asyncio.sleep(0.02)

    assert socket.kinds == ["agent_completed"]


@pytest.mark.regression
@pytest.mark.parametrize("live", [True, False], ids=["a hint", "the log"])
async def test_who_missed_the_rest_of_the_text_gets_it_before_the_end(
    live: bool, socket: Socket, alice_principal
):
    """An end that overtook the last pieces once left the text on the screen short of the answer."""
    thread = await aside(factories.thread, alice_principal)
    own = {"stream_id": thread.pk, "reply_id": uuid.uuid4()}
    standing = await aside(partial(factories.running, **own), alice_principal)
    subscription = Subscription(
        alice_principal.scope, standing.stream_id, socket.outbox, 1
    )
    hear(subscription, piece(standing, 0, "The "))
    await _end(alice_principal, standing, "The answer.")
    if live:
        for entry in await read(
            TESTS, lambda: queries.events_after(standing.stream_id, 1)
        ):
            subscription.offer(entry, event_frame(entry))
    else:
        subscription.catch_up()
    await socket.until(lambda: "agent_completed" in socket.kinds)

    assert socket.kinds == ["message_delta", "message_snapshot", "agent_completed"]
    snapshot, end = socket.frames[1:]
    assert snapshot["data"]["text"] == end["data"]["text"]
    assert snapshot["data"]["message_id"] == end["data"]["message_id"]


@pytest.mark.regression
@pytest.mark.parametrize("held", [True, False], ids=["during an answer", "at once"])
async def test_who_saw_the_beginning_gets_text_that_an_end_overtook_whole(
    held: bool, socket: Socket, alice_principal
):
    """Under load no piece came before the end, and the text stood in the end only."""
    thread = await aside(factories.thread, alice_principal)
    own = {"stream_id": thread.pk, "reply_id": uuid.uuid4()}
    standing = await aside(partial(factories.running, **own), alice_principal)
    await _end(alice_principal, standing, "The answer.")
    entries = await read(TESTS, lambda: queries.events_after(standing.stream_id, 0))
    subscription = Subscription(
        alice_principal.scope, standing.stream_id, socket.outbox, 0
    )

    if held:
        subscription.hold()
    for entry in entries:
        subscription.offer(entry, event_frame(entry))
    if held:
        subscription.release()
    await socket.until(lambda: "agent_completed" in socket.kinds)

    assert socket.kinds == ["agent_started", "message_snapshot", "agent_completed"]
    assert socket.frames[1]["data"]["text"] == "The answer."


@pytest.mark.regression
async def test_a_replay_of_what_ended_long_ago_sends_no_snapshot(
    socket: Socket, alice_principal
):
    thread = await aside(factories.thread, alice_principal)
    own = {"stream_id": thread.pk, "reply_id": uuid.uuid4()}
    standing = await aside(partial(factories.running, **own), alice_principal)
    await _end(alice_principal, standing, "The answer.")
    subscription = Subscription(
        alice_principal.scope, standing.stream_id, socket.outbox, 0
    )

    subscription.replay("r", await position(standing.stream_id))
    await socket.until(lambda: "replayed" in socket.kinds)

    assert socket.kinds == ["agent_started", "agent_completed", "replayed"]
    subscription.close()


async def _keep(who, standing: Standing, text: str) -> None:
    keep = partial(
        actions.checkpoint,
        standing,
        text=text,
        first_token_at=None,
        now=timezone.now(),
    )
    await write(who.scope, keep)


async def _end(who, standing: Standing, text: str = "x") -> None:
    end = factories.ending(ExecutionState.COMPLETED, text=text)
    unit = partial(
        endings.finish, standing, end, actor=factories.TESTER, now=timezone.now()
    )
    await write(who.scope, unit)
