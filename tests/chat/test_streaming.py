"""Waiting for an end and following a thread over HTTP, inside this process."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import timedelta
from functools import partial

import pytest
from asgiref.sync import sync_to_async
from django.db import connections as databases
from django.utils import timezone

from apps.chat import actions, streaming
from apps.chat.actions import Asked, Question
from apps.chat.connections import Connections, connections
from apps.chat.delivery import delivery
from apps.core.database import write_now
from apps.core.errors import NotAuthenticatedError, UnavailableError
from apps.core.hub import hub
from apps.executions import retention
from apps.executions.events import TextDelta
from apps.executions.journal import stream_topic
from apps.executions.models import Execution
from apps.executions.standing import Standing
from apps.executions.states import ExecutionState
from tests import factories
from tests.doors import API, async_client, open_thread, problem_of, secret_of
from tests.factories import TESTS

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("committed")]
PATIENCE = 10


@pytest.fixture(autouse=True)
async def no_connection_left() -> AsyncGenerator[None, None]:
    """The thread in which asgiref runs views keeps its database connection otherwise."""
    yield
    await sync_to_async(databases.close_all)()


@pytest.fixture
def asked(alice_principal) -> Asked:
    thread_id = open_thread(alice_principal)
    question = Question(text="hello", thread_id=thread_id, agent="golden-turn")
    return write_now(
        alice_principal.scope,
        lambda: actions.ask(principal=alice_principal, question=question),
    )


@pytest.fixture
def token(alice_principal) -> str:
    return secret_of(alice_principal)


def end(asked: Asked, state: ExecutionState = ExecutionState.COMPLETED) -> None:
    with TESTS:
        standing = Standing.of(Execution.objects.get(pk=asked.execution_id))
    running = factories.move(factories.claim(standing), ExecutionState.RUNNING)
    factories.finish(running, state, text="forty-two")


async def follow(asked: Asked, token: str, **headers: str):
    response = await async_client(token).get(
        f"{API}threads/{asked.thread_id}/events/",
        headers={"Accept": streaming.MEDIA_TYPE, **headers},
    )
    assert response.status_code == 200
    return response


async def frames(response) -> AsyncGenerator[tuple[str, dict], None]:
    """(first line, envelope) of each event, as a server reads them; heartbeats as ('', {})."""
    async with aclosing(aiter(response)) as chunks:
        async for chunk in chunks:
            first, *rest = chunk.decode().splitlines()
            data = [line for line in rest if line.startswith("data: ")]
            if data:
                yield first, json.loads(data[0].removeprefix("data: "))
            elif first.startswith(":"):
                yield "", {}


async def take(coming: AsyncGenerator[tuple[str, dict], None], kind: str) -> list:
    """Events up to the first of that type, itself included."""
    taken = []
    async with asyncio.timeout(PATIENCE):
        async for first, event in coming:
            taken.append((first, event))
            if event.get("type") == kind:
                return taken
    pytest.fail(f"the stream ended without {kind}")


async def leave(coming: AsyncGenerator[tuple[str, dict], None]) -> None:
    """Go away as a client does; at once the server holds nothing for it any more."""
    await coming.aclose()
    assert connections.all() == []
    assert hub.topics() == []


# -- waiting -------------------------------------------------------------------------


@pytest.mark.parametrize("state", [ExecutionState.COMPLETED, ExecutionState.FAILED])
async def test_a_hint_ends_the_wait(
    asked, alice_principal, live_hub, monkeypatch, state
):
    monkeypatch.setattr(streaming, "LOOK_SECONDS", 60)
    waiting = asyncio.create_task(
        streaming.end_of(alice_principal.scope, asked, PATIENCE)
    )
    await asyncio.sleep(0)
    assert hub.topics(), "it watches before it looks"
    await sync_to_async(end)(asked, state)

    ended = await waiting

    assert ended is not None
    assert ended.state is state
    assert ended.message is not None
    assert ended.message.text == "forty-two"
    assert (ended.failure is None) == (state is ExecutionState.COMPLETED)
    assert hub.topics() == []


async def test_without_a_hint_the_row_is_found(asked, alice_principal):
    waiting = asyncio.create_task(
        streaming.end_of(alice_principal.scope, asked, PATIENCE)
    )
    await sync_to_async(end)(asked)

    ended = await waiting

    assert ended is not None


async def test_a_wait_has_an_end(asked, alice_principal):
    began = time.monotonic()

    assert await streaming.end_of(alice_principal.scope, asked, 0.2) is None
    assert time.monotonic() - began >= 0.2


async def test_what_has_ended_is_told_at_once(asked, alice_principal):
    await sync_to_async(end)(asked)

    assert await streaming.end_of(alice_principal.scope, asked, 0) is not None


async def test_the_view_answers_202_when_the_agent_takes_longer(asked, token):
    response = await async_client(token).post(
        f"{API}threads/{asked.thread_id}/messages/?wait=0.1",
        {"text": "again"},
        content_type="application/json",
    )

    assert response.status_code == 202
    assert "state" not in response.json()


# -- following -----------------------------------------------------------------------


async def test_the_log_comes_first_and_then_what_is_new(asked, token, live_hub):
    response = await follow(asked, token)
    coming = frames(response)

    replayed = await take(coming, "replayed")
    await sync_to_async(end)(asked)
    live = await take(coming, "agent_completed")
    await leave(coming)

    assert response["Cache-Control"] == "no-store"
    assert [first for first, _ in replayed] == ["id: 1", "event: replayed"]
    assert [first for first, _ in live] == [
        "id: 2",
        "event: message_snapshot",  # no piece of the text came before the end
        "id: 3",
    ]
    assert live[-1][1]["data"]["text"] == "forty-two"


async def test_a_client_goes_on_from_the_last_id_that_it_saw(asked, token, live_hub):
    await sync_to_async(end)(asked)
    coming = frames(await follow(asked, token, **{"Last-Event-ID": "2"}))

    replayed = await take(coming, "replayed")
    await leave(coming)

    assert [first for first, _ in replayed] == ["id: 3", "event: replayed"]


async def test_silence_is_broken_by_heartbeats(asked, token, live_hub, monkeypatch):
    monkeypatch.setattr(streaming, "HEARTBEAT_SECONDS", 0.05)
    coming = frames(await follow(asked, token))
    await take(coming, "replayed")

    async with asyncio.timeout(PATIENCE):
        assert await anext(coming) == ("", {})
    await leave(coming)


async def test_a_stream_is_a_connection_for_as_long_as_it_lasts(
    asked, token, live_hub, alice_principal
):
    coming = frames(await follow(asked, token))
    await take(coming, "replayed")

    assert len(connections.all()) == 1
    await leave(coming)


@pytest.mark.security
async def test_who_is_sent_away_is_told_why(asked, token, live_hub):
    coming = frames(await follow(asked, token))
    await take(coming, "replayed")
    (connection,) = connections.all()

    await connection.end(4401, NotAuthenticatedError("Revoked."))
    await connection.end(4401, NotAuthenticatedError("Told once only."))
    rest = [event async for _, event in coming]

    assert [event["data"]["message"] for event in rest] == ["Revoked."]
    assert connections.all() == []


async def test_one_who_does_not_read_loses_the_stream(
    asked, token, live_hub, monkeypatch
):
    monkeypatch.setattr("apps.chat.outbox.SEND_SECONDS", 0.05)
    await sync_to_async(end)(asked)
    coming = frames(await follow(asked, token))

    first = await anext(coming)
    await asyncio.sleep(0.3)
    rest = [event async for _, event in coming]

    assert first[0] == "id: 1"
    assert "replayed" not in [event["type"] for event in rest]
    assert connections.all() == []


async def test_nobody_is_taken_while_the_server_goes(asked, token, monkeypatch):
    monkeypatch.setattr(connections, "refusing", UnavailableError(retry_after=2))

    response = await async_client(token).get(
        f"{API}threads/{asked.thread_id}/events/",
        headers={"Accept": streaming.MEDIA_TYPE},
    )

    assert (response.status_code, response["Retry-After"]) == (503, "2")
    assert problem_of(response)["code"] == "unavailable"


async def test_streams_are_limited_like_sockets(asked, token, monkeypatch):
    monkeypatch.setattr(Connections, "full", lambda *_: True)

    response = await async_client(token).get(
        f"{API}threads/{asked.thread_id}/events/",
        headers={"Accept": streaming.MEDIA_TYPE},
    )

    assert problem_of(response)["code"] == "too_many_connections"
    assert response["Retry-After"]


async def test_text_that_is_written_meanwhile_comes_as_deltas(
    asked, token, live_hub, alice_principal
):
    coming = frames(await follow(asked, token))
    await take(coming, "replayed")
    delta = TextDelta(
        stream_id=asked.thread_id,
        execution_id=asked.execution_id,
        message_id=None,
        attempt=1,
        offset=0,
        text="forty-",
    )
    topic = stream_topic(alice_principal.organisation_id, asked.thread_id)
    await sync_to_async(hub.publish)(topic, delta)

    ((first, event),) = await take(coming, "message_delta")
    await leave(coming)

    assert first == "event: message_delta"
    assert event["data"]["text"] == "forty-"


# -- a log that was cut, and the account of what was sent ----------------------------------


async def test_a_stream_cannot_begin_before_a_cut(asked, token, alice_principal):
    await sync_to_async(end)(asked)
    await sync_to_async(cut)(alice_principal, asked)

    response = await async_client(token).get(
        f"{API}threads/{asked.thread_id}/events/",
        headers={"Accept": streaming.MEDIA_TYPE, "Last-Event-ID": "1"},
    )

    assert (response.status_code, problem_of(response)["code"]) == (409, "resync")


async def test_a_stream_that_a_cut_overtakes_says_so_and_ends(
    asked, token, live_hub, alice_principal
):
    coming = frames(await follow(asked, token))
    await take(coming, "replayed")
    hub.unbind()  # no hint arrives
    await sync_to_async(end)(asked)
    await sync_to_async(cut)(alice_principal, asked)

    await delivery.check()
    rest = [pair async for pair in coming]

    ((first, event),) = rest
    assert first == "event: resync"
    assert event["data"]["reason"] == "retained"
    assert connections.all() == []


async def test_a_stream_keeps_account_of_what_it_yielded(asked, token, live_hub):
    await sync_to_async(end)(asked)
    coming = frames(await follow(asked, token))

    await anext(coming)
    (connection,) = connections.all()
    progress = connection.progress[asked.thread_id]
    assert progress.sent_to == 0, "the first is under way"
    await anext(coming)
    assert progress.sent_to == 1
    await take(coming, "replayed")
    await leave(coming)

    assert (progress.door, progress.sent_to) == ("sse", 3)
    assert (progress.acknowledged_to, progress.close_code) == (0, None)
    assert progress.closed_at is not None


def cut(who, asked: Asked) -> None:
    before = timezone.now() + timedelta(days=1)
    prune = partial(retention.prune, asked.thread_id, before=before)
    assert write_now(who.scope, prune) == 3
