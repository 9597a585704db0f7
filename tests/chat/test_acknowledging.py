"""An acknowledgement says what was shown: cumulative, never beyond what was sent, only where one looks."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from functools import partial

import pytest
from django.utils import timezone

from apps.core.database import write
from apps.executions import journal
from apps.executions.journal import Draft
from apps.executions.states import EventType
from tests import factories
from tests.chat.questions import aside
from tests.chat.sockets import Client

pytestmark = [pytest.mark.mission_critical, pytest.mark.security]


@pytest.fixture
async def client(committed, alice_principal) -> AsyncIterator[Client]:
    client = Client(alice_principal)
    yield client
    await client.leave()


async def followed(client: Client, count: int = 4, after: int = 0) -> uuid.UUID:
    """A thread with so many events that the client follows from `after` on."""
    who = client.connection.principal
    thread_id = (await aside(factories.thread, who)).pk
    unit = partial(
        journal.append,
        organisation_id=who.organisation_id,
        stream_id=thread_id,
        drafts=[Draft(type=EventType.MESSAGE_CREATED) for _ in range(count)],
        now=timezone.now(),
    )
    await write(who.scope, unit)
    await client.ask("subscribe", thread_id=thread_id, after=after)
    await client.until(lambda: client.of("replayed"))
    return thread_id


async def refusal(client: Client, **data: object) -> dict:
    asked = await client.ask("ack", **data)
    await client.until(lambda: client.answer(asked))
    answer = client.answer(asked)
    assert answer is not None
    assert answer["type"] == "error"
    error: dict = answer["data"]
    return error


async def test_it_is_cumulative_and_lower_ones_change_nothing(client):
    thread_id = await followed(client)
    progress = client.connection.progress[thread_id]

    for seq, acknowledged in ((2, 2), (1, 2), (0, 2), (4, 4)):
        await client.ask("ack", thread_id=thread_id, seq=seq)
        assert progress.acknowledged_to == acknowledged
    assert client.of("error") == []


async def test_what_was_not_sent_cannot_have_been_shown(client):
    thread_id = await followed(client)

    error = await refusal(client, thread_id=thread_id, seq=5)

    assert (error["code"], error["field"]) == ("invalid", "seq")
    assert error["fix"]
    assert client.connection.progress[thread_id].acknowledged_to == 0


async def test_what_waits_in_the_queue_was_not_sent(client):
    thread_id = await followed(client, after=4)
    progress = client.connection.progress[thread_id]
    client.connection.subscriptions[thread_id].last = 9  # queued, that is

    await refusal(client, thread_id=thread_id, seq=5)

    assert progress.acknowledged_to == 0


async def test_an_acknowledgement_may_be_quicker_than_the_end_of_the_send(client):
    thread_id = await followed(client, after=4)
    progress = client.connection.progress[thread_id]
    progress.sending(5)

    await client.ask("ack", thread_id=thread_id, seq=5)

    assert (progress.sent_to, progress.acknowledged_to) == (5, 5)
    assert client.of("error") == []


async def test_who_comes_back_may_confirm_what_was_shown_before(client):
    thread_id = await followed(client, after=4)

    await client.ask("ack", thread_id=thread_id, seq=4)

    assert client.connection.progress[thread_id].acknowledged_to == 4


async def test_threads_that_are_not_followed_foreign_or_absent_look_the_same(
    client, mallory_principal
):
    left = await followed(client)
    await client.ask("unsubscribe", thread_id=left)
    never = (await aside(factories.thread, client.connection.principal)).pk
    foreign = (await aside(factories.thread, mallory_principal)).pk

    errors = [
        await refusal(client, thread_id=thread_id, seq=1)
        for thread_id in (left, never, foreign, uuid.uuid4())
    ]

    told = {(e["code"], e["field"], e["message"], e["fix"]) for e in errors}
    assert len(told) == 1
    assert errors[0]["field"] == "thread_id"


@pytest.mark.parametrize("seq", [-1, "x", None, 1.5, True])
async def test_a_number_that_is_none_is_refused(client, seq: object):
    thread_id = await followed(client)

    error = await refusal(client, thread_id=thread_id, seq=seq)

    assert error["field"] == "seq"


async def test_a_refused_one_does_not_open_the_window(client):
    thread_id = await followed(client)
    outbox = client.connection.outbox
    outbox._unacknowledged = 77

    await refusal(client, thread_id=thread_id, seq=99)
    assert outbox._unacknowledged >= 77
    await client.ask("ack", thread_id=thread_id, seq=4)

    assert outbox._unacknowledged == 0
