"""Coming back to a thread over a new socket: nothing is lost, nothing comes twice."""

from __future__ import annotations

import uuid

import pytest

from tests.live.chat import Chat, check_log
from tests.live.conftest import OpenChat
from tests.live.installation import Installation

pytestmark = [pytest.mark.live, pytest.mark.golden_path, pytest.mark.integration]
TURN = [
    "message_created", "agent_started", "agent_thinking", "tool_executing", "tool_completed",
    "agent_completed",
]  # fmt: skip


# -- coming back ---------------------------------------------------------------------


@pytest.mark.parametrize("seen", [0, 1, 3])
async def test_who_comes_back_in_the_middle_misses_nothing(
    netra_server: Installation, open_chat: OpenChat, seen: int
):
    person = netra_server.someone()
    before = await open_chat(person)
    asked = await before.ask("slow-turn")
    for _ in range(3):
        await before.until(lambda f: f["type"] == "message_delta")
    await before.close()

    after = await open_chat(person)
    replayed = await after.subscribe(asked["thread_id"], after=seen)
    snapshot = await after.until(lambda f: f["type"] == "message_snapshot")
    for _ in range(3):
        await after.until(lambda f: f["type"] == "message_delta")
    await after.send("cancel", execution_id=asked["execution_id"])
    end = await after.end_of(asked["execution_id"])

    assert replayed["data"]["state"] == "active"
    assert [e["execution_id"] for e in replayed["data"]["executions"]] == [
        asked["execution_id"]
    ]
    assert replayed["data"]["through"] == 3
    assert len(snapshot["data"]["text"]) >= len(before.text_of(asked["execution_id"]))
    check_log(after.events(), first=seen + 1)
    assert after.text_of(asked["execution_id"]) == end["data"]["text"]


async def test_a_finished_thread_is_replayed_whole(
    netra_server: Installation, open_chat: OpenChat
):
    person = netra_server.someone()
    one = await open_chat(person)
    asked = await one.ask("golden-turn")
    await one.end_of(asked["execution_id"])
    two = await open_chat(person)

    replayed = await two.subscribe(asked["thread_id"])
    await two.settled()

    assert two.events() == one.events()
    assert replayed["data"]["through"] == len(TURN)
    assert (replayed["data"]["state"], replayed["data"]["executions"]) == ("idle", [])
    assert "message_snapshot" not in [f["type"] for f in two.frames]
    order = [f["type"] for f in two.frames]
    assert order.index("replayed") > order.index("agent_completed")


async def test_subscribing_again_starts_the_thread_anew_at_that_place(chat: Chat):
    asked = await chat.ask("golden-turn")
    await chat.end_of(asked["execution_id"])
    chat.frames.clear()
    chat._seen = 0

    await chat.subscribe(asked["thread_id"], after=2)
    check_log(chat.events(), first=3)
    more = await chat.ask("golden-turn", thread_id=asked["thread_id"])
    await chat.end_of(more["execution_id"])

    check_log(chat.events(), first=3)


async def test_after_unsubscribing_nothing_of_the_thread_comes(chat: Chat):
    asked = await chat.ask("slow-turn")
    await chat.until(lambda f: f["type"] == "message_delta")
    await chat.send("unsubscribe", thread_id=asked["thread_id"])
    await chat.settled()
    heard = len(chat.frames)

    await chat.send("cancel", id="c", execution_id=asked["execution_id"])
    await chat.answer("c", "cancel_accepted")
    other = await chat.ask("golden-turn")
    await chat.end_of(other["execution_id"])

    late = [f for f in chat.frames[heard:] if f.get("thread_id") == asked["thread_id"]]
    assert [f["type"] for f in late if f["type"] != "thread_changed"] == []


@pytest.mark.parametrize("reason", ["ahead", "epoch"])
async def test_a_place_that_is_not_in_the_log_leads_to_a_snapshot(
    chat: Chat, reason: str
):
    asked = await chat.ask("golden-turn")
    await chat.end_of(asked["execution_id"])
    wrong = {
        "ahead": {"after": 1000},
        "epoch": {"after": 1, "epoch": str(uuid.uuid4())},
    }

    answer = await chat.subscribe(asked["thread_id"], **wrong[reason])

    assert (answer["type"], answer["data"]["reason"]) == ("resync", reason)
    assert uuid.UUID(answer["data"]["epoch"])
    assert asked["thread_id"] in answer["data"]["snapshot_url"]
