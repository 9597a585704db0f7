"""Coming back: a complete log or a plain `resync`, never a hole; and never in the way of those who stayed."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from datetime import timedelta
from functools import partial

import pytest
from django.utils import timezone

from apps.chat import delivery as feeds
from apps.chat import subscriptions
from apps.chat.delivery import delivery
from apps.chat.limits import REPLAYS
from apps.chat.subscriptions import Subscription, Turnstile
from apps.core.database import READERS, read, write
from apps.executions import actions, journal, queries, retention
from apps.executions.journal import Draft
from apps.executions.standing import Standing
from apps.executions.states import EventType
from tests import factories
from tests.chat.questions import aside
from tests.chat.sockets import Client
from tests.factories import TESTS

pytestmark = [pytest.mark.mission_critical, pytest.mark.usefixtures("committed")]
OLD = timezone.now() - timedelta(days=100)
BEFORE = OLD + timedelta(days=1)


@pytest.fixture
async def client(alice_principal) -> AsyncIterator[Client]:
    client = Client(alice_principal)
    yield client
    await client.leave()


async def append(who, thread_id: uuid.UUID, count: int, now=OLD) -> None:
    unit = partial(
        journal.append,
        organisation_id=who.organisation_id,
        stream_id=thread_id,
        drafts=[Draft(type=EventType.MESSAGE_CREATED) for _ in range(count)],
        now=now,
    )
    await write(who.scope, unit)


async def thread_of(who, count: int = 0) -> uuid.UUID:
    thread_id: uuid.UUID = (await aside(factories.thread, who)).pk
    if count:
        await append(who, thread_id, count)
    return thread_id


async def cut(who, thread_id: uuid.UUID, limit: int) -> int:
    unit = partial(retention.prune, thread_id, before=BEFORE, limit=limit)
    return await write(who.scope, unit)


# -- a log that was cut ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("after", "whole"), [(0, False), (19, False), (20, True), (25, True)]
)
async def test_who_stands_before_the_cut_is_told_and_who_stands_after_goes_on(
    client, alice_principal, after: int, whole: bool
):
    thread_id = await thread_of(alice_principal, 30)
    assert await cut(alice_principal, thread_id, 20) == 20

    asked = await client.ask("subscribe", thread_id=thread_id, after=after)
    await client.until(lambda: client.answer(asked))

    answer = client.answer(asked)
    assert answer is not None
    if whole:
        assert answer["type"] == "replayed"
        assert client.numbers() == list(range(after + 1, 31))
    else:
        assert (answer["type"], answer["data"]["reason"]) == ("resync", "retained")
        assert str(thread_id) in answer["data"]["snapshot_url"]
        assert uuid.UUID(answer["data"]["epoch"])
        assert client.connection.subscriptions == {}
        assert client.numbers() == []


@pytest.mark.parametrize("everything", [False, True])
async def test_a_cut_in_the_middle_of_a_replay_leads_to_resync_and_no_hole(
    client, alice_principal, monkeypatch, everything: bool
):
    monkeypatch.setattr(subscriptions, "PAGE_FIRST", 10)
    thread_id = await thread_of(alice_principal, 40)
    limit = 40 if everything else 30
    pages = 0

    async def read_and_cut(scope, work):
        nonlocal pages
        found = await read(scope, work)
        pages += 1
        if pages == 1:
            assert await cut(alice_principal, thread_id, limit) == limit
        return found

    monkeypatch.setattr(subscriptions, "read", read_and_cut)
    asked = await client.ask("subscribe", thread_id=thread_id)
    await client.until(lambda: client.answer(asked))

    answer = client.answer(asked)
    assert answer is not None
    assert (answer["type"], answer["data"]["reason"]) == ("resync", "retained")
    assert client.numbers() == list(range(1, 11))
    assert client.of("replayed") == []
    assert client.connection.subscriptions == {}


async def test_who_was_left_behind_a_cut_is_told_by_the_poll(client, alice_principal):
    thread_id = await thread_of(alice_principal, 10)
    await client.ask("subscribe", thread_id=thread_id)
    await client.until(lambda: client.of("replayed"))
    await append(alice_principal, thread_id, 20)  # no hint: no hub is bound
    assert await cut(alice_principal, thread_id, 30) == 30

    await delivery.check()
    await client.until(lambda: client.of("resync"))
    await delivery.check()

    (frame,) = client.of("resync")
    assert "id" not in frame, "nobody asked"
    assert frame["data"]["reason"] == "retained"
    assert client.numbers() == list(range(1, 11))


async def test_replays_beside_a_cutting_sweep_are_complete_or_told(
    alice_principal, monkeypatch
):
    monkeypatch.setattr(subscriptions, "PAGE_FIRST", 7)
    monkeypatch.setattr(subscriptions, "PAGE_MOST", 7)
    thread_id = await thread_of(alice_principal, 200)
    clients = [Client(alice_principal) for _ in range(25)]

    async def cutting() -> None:
        while await cut(alice_principal, thread_id, 9):  # noqa: ASYNC110 - so fast, no faster
            await asyncio.sleep(0.001)

    async def replaying(client: Client, after: int) -> tuple[int, Client]:
        asked = await client.ask("subscribe", thread_id=thread_id, after=after)
        await client.until(lambda: client.answer(asked))
        await client.leave()
        return after, client

    followed, _ = await asyncio.gather(
        asyncio.gather(*(replaying(c, n * 8) for n, c in enumerate(clients))),
        cutting(),
    )

    told = 0
    for after, client in followed:
        numbers = client.numbers()
        assert numbers == list(range(after + 1, after + 1 + len(numbers)))
        assert len(client.of("replayed")) + len(client.of("resync")) == 1
        told += len(client.of("resync"))
        assert client.of("resync") or after + len(numbers) == 200
    assert told, "the cut was quicker than somebody, or nothing was tried"


# -- many at once ----------------------------------------------------------------------


def test_replays_leave_a_reader_to_the_others():
    assert 0 < REPLAYS < READERS


async def test_the_turnstile_lets_so_many_in_and_in_their_order():
    inside = most = 0
    order: list[int] = []
    turnstile = Turnstile(2)

    async def slow(scope, work):
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        await asyncio.sleep(0.002)
        inside -= 1
        return work()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(subscriptions, "read", slow)
        await asyncio.gather(
            *(turnstile.read(TESTS, partial(order.append, n)) for n in range(20))
        )

    assert most == 2
    assert order == list(range(20))


async def test_while_many_come_back_the_others_go_on(
    alice_principal, bob_principal, live_hub, monkeypatch
):
    long = await thread_of(bob_principal, 600)
    live = await thread_of(alice_principal)
    watcher = Client(alice_principal)
    await watcher.ask("subscribe", thread_id=live)
    await watcher.until(lambda: watcher.of("replayed"))
    storm = [Client(bob_principal) for _ in range(40)]
    ahead: list[int] = []

    for client in storm:
        await client.ask("subscribe", thread_id=long)
    for count in range(1, 11):
        await append(alice_principal, live, 1)
        await watcher.until(lambda n=count: n in watcher.numbers())
        ahead.append(sum(not client.of("replayed") for client in storm))
    for client in storm:
        await client.until(lambda c=client: c.of("replayed"))

    assert ahead[0] > 0, "the storm was over before the first live event"
    assert watcher.numbers() == list(range(1, 11))
    assert all(c.numbers() == list(range(1, 601)) for c in storm)
    for client in (*storm, watcher):
        await client.leave()


@pytest.mark.performance
async def test_a_page_of_long_events_is_short(client, alice_principal, monkeypatch):
    thread_id = await thread_of(alice_principal, 400)
    long = [
        Draft(type=EventType.MESSAGE_CREATED, payload={"text": "x" * 2000})
        for _ in range(400)
    ]
    unit = partial(
        journal.append,
        organisation_id=alice_principal.organisation_id,
        stream_id=thread_id,
        drafts=long,
        now=OLD,
    )
    await write(alice_principal.scope, unit)
    pages: list[int] = []

    async def counted(scope, work):
        found = await read(scope, work)
        if isinstance(work, partial) and work.func is queries.events_after:
            pages.append(len(found))
        return found

    monkeypatch.setattr(subscriptions, "read", counted)
    monkeypatch.setattr(subscriptions, "PAGE_CHARACTERS", 50_000)
    await client.ask("subscribe", thread_id=thread_id)
    await client.until(lambda: client.of("replayed"))

    assert client.numbers() == list(range(1, 801))
    assert pages[0] == 32
    assert max(pages) == 128 < sum(pages[:4])
    assert max(pages[-8:]) == 32, "where they are long"


# -- text that no hint brings ------------------------------------------------------------


async def keep(standing: Standing, text: str) -> None:
    unit = partial(
        actions.checkpoint,
        standing,
        text=text,
        first_token_at=None,
        now=timezone.now(),
    )
    await aside(factories.unit, standing, unit)


async def watched(client: Client) -> Standing:
    """An answer that another process writes, followed by the client."""
    who = client.connection.principal
    thread_id = await thread_of(who)
    standing: Standing = await aside(factories.running, who, stream_id=thread_id)
    await client.ask("subscribe", thread_id=thread_id)
    await client.until(lambda: client.of("message_snapshot"))
    return standing


def texts(client: Client) -> list[str]:
    return [frame["data"]["text"] for frame in client.of("message_snapshot")]


async def test_stored_text_that_grows_is_shown_without_any_hint(client):
    standing = await watched(client)

    for text in ("one ", "one two ", "one two "):
        await keep(standing, text)
        await delivery.check()
    await client.until(lambda: len(texts(client)) == 3)

    assert texts(client) == ["", "one ", "one two "]
    assert client.of("message_snapshot")[-1]["data"]["attempt"] == 1


async def test_text_that_comes_by_hints_is_not_sent_twice(client):
    standing = await watched(client)
    (subscription,) = client.connection.subscriptions.values()
    delta = subscriptions.TextDelta(
        stream_id=standing.stream_id,
        execution_id=standing.id,
        message_id=standing.reply_id,
        attempt=1,
        offset=0,
        text="one two ",
    )
    feed = subscription.feed
    assert isinstance(feed, feeds.Feed)
    feed.hear(delta)
    await keep(standing, "one ")

    for _ in range(2):  # the feed was fed; then it is quiet, and nothing is longer
        await delivery.check()
    await client.settle()

    assert len(client.of("message_delta")) == 1
    assert texts(client) == [""]


@pytest.mark.regression
async def test_no_stored_text_is_shown_after_the_end(client):
    standing = await watched(client)
    await keep(standing, "one ")
    (subscription,) = client.connection.subscriptions.values()
    (kept,) = await read(
        TESTS, partial(subscriptions.chat_queries.texts_kept, [standing.stream_id])
    )
    await aside(factories.finish, standing)

    await subscription.show_kept(kept)
    subscription.catch_up()
    await client.until(lambda: client.of("agent_completed"))
    await client.settle()

    assert texts(client) == [""]


async def test_a_subscription_that_is_gone_is_shown_nothing(client, alice_principal):
    outbox = client.connection.outbox
    subscription = Subscription(alice_principal.scope, uuid.uuid4(), outbox, 0)
    kept = subscriptions.chat_queries.KeptText(
        execution_id=uuid.uuid4(),
        thread_id=subscription.thread_id,
        message_id=None,
        attempt=1,
        length=5,
    )
    outbox.close()

    await subscription.show_kept(kept)

    assert not outbox._frames
