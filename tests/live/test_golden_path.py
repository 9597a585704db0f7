"""From a message to its answer, over real sockets of real servers: order, loss, doubles, ends."""

from __future__ import annotations

import asyncio
import json
import uuid

import pytest

from tests.live.chat import Chat, check_log
from tests.live.conftest import OpenChat
from tests.live.installation import Installation

pytestmark = [pytest.mark.live, pytest.mark.golden_path, pytest.mark.integration]
GOLDEN = "".join(f"tok{n} " for n in range(20))
SLOW = "".join(f"tok{n} " for n in range(100))
TURN = [
    "message_created", "agent_started", "agent_thinking", "tool_executing", "tool_completed",
    "agent_completed",
]  # fmt: skip


# -- one turn ------------------------------------------------------------------------


async def test_a_golden_turn_tells_its_events_in_order(chat: Chat):
    asked = await chat.ask("golden-turn", "What is x?", id="m1")
    end = await chat.end_of(asked["execution_id"])
    await chat.settled()

    assert chat.kinds() == TURN
    check_log(chat.events())
    created, started, thinking, calling, called, completed = chat.events()
    assert created["data"] == {
        "message_id": asked["message_id"],
        "role": "user",
        "text": "What is x?",
        "client_id": "m1",
    }
    assert created["seq"] == asked["seq"]
    assert started["data"] == {
        "agent": "golden-turn",
        "attempt": 1,
        "status": "started",
    }
    assert thinking["data"]["agent"] == "golden-turn"
    assert calling["data"] == {
        "call_id": "c1",
        "tool": "lookup",
        "arguments": {"q": "x"},
    }
    assert called["data"] | {"ms": 0} == {
        "call_id": "c1",
        "tool": "lookup",
        "status": "ok",
        "result": "result for x",
        "ms": 0,
    }
    assert completed == end
    assert end["data"]["text"] == GOLDEN == chat.text_of(asked["execution_id"])
    assert end["data"]["final"] is True
    assert {e["execution_id"] for e in chat.events()[1:]} == {asked["execution_id"]}


async def test_a_message_is_accepted_before_any_of_its_events(chat: Chat):
    first = await chat.ask("golden-turn")
    await chat.end_of(first["execution_id"])
    second = await chat.ask("golden-turn", thread_id=first["thread_id"])
    await chat.end_of(second["execution_id"])

    accepted = [n for n, f in enumerate(chat.frames) if f["type"] == "message_accepted"]
    created = [n for n, f in enumerate(chat.frames) if f["type"] == "message_created"]
    assert len(accepted) == len(created) == 2
    assert all(a < c for a, c in zip(accepted, created, strict=True))
    assert accepted[1] < next(
        n
        for n, f in enumerate(chat.frames)
        if f.get("execution_id") == second["execution_id"]
    )
    check_log(chat.events())


async def test_deltas_follow_each_other_and_join_to_the_answer(chat: Chat):
    asked = await chat.ask("golden-turn")
    end = await chat.end_of(asked["execution_id"])

    deltas = [f["data"] for f in chat.frames if f["type"] == "message_delta"]
    assert deltas
    assert deltas[0]["offset"] == 0
    joined = ""
    for delta in deltas:
        assert (delta["offset"], delta["attempt"]) == (len(joined), 1)
        assert delta["message_id"] == end["data"]["message_id"]
        joined += delta["text"]
    assert joined == end["data"]["text"]


@pytest.mark.parametrize(
    "frame",
    [
        {"type": "chat", "content": "hi", "agent": "golden-turn"},
        {"type": "user_input", "payload": {"query": "hi", "agent": "golden-turn"}},
        {"type": "message", "message": "hi", "agent": "golden-turn", "thread_id": None},
        {"type": "start_agent", "data": {"text": "hi"}, "agent": "golden-turn"},
    ],
    ids=lambda frame: frame["type"],
)
async def test_odd_frames_of_real_clients_are_understood(chat: Chat, frame: dict):
    await chat.send_raw(json.dumps({**frame, "id": 7, "extra": [1]}))

    accepted = await chat.answer("7", "message_accepted")
    end = await chat.end_of(accepted["data"]["execution_id"])
    assert end["data"]["text"] == GOLDEN


async def test_any_unicode_comes_back_as_it_was_sent(chat: Chat):
    text = "𝔘𝔫𝔦 👩‍👩‍👧 \u202e\ufeff é\n\t<script>'; DROP TABLE--\ud7ff\U0010ffff"
    asked = await chat.ask("golden-turn", text)
    await chat.end_of(asked["execution_id"])

    assert chat.events()[0]["data"]["text"] == text


# -- idempotency ---------------------------------------------------------------------


async def test_the_same_message_twice_is_answered_as_a_duplicate(
    netra_server: Installation, chat: Chat
):
    first = await chat.ask("golden-turn", "once", id="same")
    await chat.end_of(first["execution_id"])
    await chat.settled()
    written, heard = netra_server.written(), len(chat.frames)

    again = await chat.ask("golden-turn", "once", id="same")
    await chat.settled()

    assert again == first | {"duplicate": True}
    assert [f["type"] for f in chat.frames[heard:]] == ["message_accepted", "pong"]
    assert netra_server.written() == written


async def test_the_same_id_for_another_message_is_a_conflict(
    netra_server: Installation, chat: Chat
):
    first = await chat.ask("golden-turn", "one", id="k")
    await chat.end_of(first["execution_id"])
    written = netra_server.written()

    await chat.send("user_message", id="k", text="two", agent="golden-turn")

    refused = await chat.refusal()
    assert (refused["id"], refused["data"]["code"]) == ("k", "idempotency_conflict")
    assert netra_server.written() == written


async def test_one_key_serves_all_sockets_of_a_person_and_nobody_else(
    netra_server: Installation, open_chat: OpenChat
):
    person, other = netra_server.someone(), netra_server.someone()
    one, two = await open_chat(person), await open_chat(person)
    stranger = await open_chat(other)

    first = await one.ask("golden-turn", id="shared")
    again = await two.ask("golden-turn", id="shared")
    own = await stranger.ask("golden-turn", id="shared")

    assert again["execution_id"] == first["execution_id"]
    assert (again["duplicate"], own["duplicate"]) == (True, False)


# -- several messages ----------------------------------------------------------------


async def test_a_second_message_waits_and_is_answered_after_the_first(chat: Chat):
    first = await chat.ask("slow-turn")
    second = await chat.ask("golden-turn", thread_id=first["thread_id"])
    await chat.until(lambda f: f["type"] == "message_delta")
    await chat.send("cancel", execution_id=first["execution_id"])

    end = await chat.end_of(second["execution_id"])

    assert end["data"]["text"] == GOLDEN
    check_log(chat.events())
    order = [f["execution_id"] for f in chat.events() if f["type"] != "message_created"]
    assert order == sorted(
        order,
        key=[first, second].__class__(
            [first["execution_id"], second["execution_id"]]
        ).index,
    )


async def test_messages_that_were_sent_at_once_are_answered_in_their_order(chat: Chat):
    first = await chat.ask("golden-turn")
    more = [
        await chat.ask("golden-turn", f"{n}", thread_id=first["thread_id"])
        for n in range(3)
    ]
    ids = [asked["execution_id"] for asked in (first, *more)]
    for execution_id in ids:
        await chat.end_of(execution_id)

    ends = [f["execution_id"] for f in chat.events() if f["type"] == "agent_completed"]
    assert ends == ids
    check_log(chat.events())


# -- stopping ------------------------------------------------------------------------


async def test_a_cancelled_turn_ends_once_and_keeps_its_text(chat: Chat):
    asked = await chat.ask("slow-turn")
    await chat.until(lambda f: f["type"] == "message_delta")

    await chat.send("cancel", id="stop", execution_id=asked["execution_id"])
    answer = await chat.answer("stop", "cancel_accepted")
    end = await chat.end_of(asked["execution_id"], patience=5)
    await chat.settled()

    assert answer["data"]["state"] in {"starting", "running"}
    assert (end["type"], end["data"]["by"]) == ("agent_cancelled", "user")
    assert end["data"]["text"]
    assert SLOW.startswith(end["data"]["text"])
    assert end["data"]["text"] == chat.text_of(asked["execution_id"])
    assert end["data"]["message_id"]
    assert chat.kinds().count("agent_cancelled") == 1
    assert chat.kinds()[-1] == "agent_cancelled"


async def test_a_turn_that_hangs_can_be_stopped(chat: Chat):
    asked = await chat.ask("hanging-turn")
    await chat.until(lambda f: f["type"] == "agent_started")
    await chat.send("cancel", execution_id=asked["execution_id"])

    end = await chat.end_of(asked["execution_id"], patience=5)

    assert end["type"] == "agent_cancelled"
    assert "text" not in end["data"]


async def test_a_waiting_message_can_be_stopped_before_it_starts(chat: Chat):
    first = await chat.ask("hanging-turn")
    second = await chat.ask("golden-turn", thread_id=first["thread_id"])

    await chat.send("cancel", id="s", execution_id=second["execution_id"])
    end = await chat.end_of(second["execution_id"], patience=5)

    assert end["type"] == "agent_cancelled"
    assert [
        f["type"]
        for f in chat.events()
        if f.get("execution_id") == second["execution_id"]
    ] == ["agent_cancelled"]
    await chat.send("cancel", execution_id=first["execution_id"])
    await chat.end_of(first["execution_id"])


async def test_stopping_what_has_ended_changes_nothing(
    netra_server: Installation, chat: Chat
):
    asked = await chat.ask("golden-turn")
    await chat.end_of(asked["execution_id"])
    written = netra_server.written()

    for n in range(2):
        await chat.send("cancel", id=n, execution_id=asked["execution_id"])
        answer = await chat.answer(str(n), "cancel_accepted")
        assert answer["data"] == {"state": "completed"}
    await chat.settled()

    assert chat.kinds()[-1] == "agent_completed"
    assert netra_server.written() == written


# -- what goes wrong -----------------------------------------------------------------


async def test_a_provider_that_fails_is_explained(
    netra_server: Installation, chat: Chat
):
    asked = await chat.ask("failing-turn")
    end = await chat.end_of(asked["execution_id"])

    data = end["data"]
    assert (end["type"], data["code"], data["retryable"]) == (
        "agent_error",
        "provider_error",
        True,
    )
    assert data["text"] == "tok0 tok1 tok2 tok3 tok4 "
    assert data["message"]
    assert data["fix"]
    receipt = uuid.UUID(data["receipt_id"]).hex
    assert netra_server.rows(
        "SELECT code FROM audits_receipt WHERE id = ?", receipt
    ) == [("provider_error",)]


async def test_a_tool_that_crashes_is_explained(chat: Chat):
    asked = await chat.ask("crashing-turn")
    end = await chat.end_of(asked["execution_id"])

    assert chat.kinds() == [*TURN[:-1], "agent_error"]
    called = chat.events()[4]["data"]
    assert (called["status"], called["tool"]) == ("error", "crash")
    assert end["data"]["code"] == "tool_failed"
    assert "RuntimeError" not in str(chat.frames)
    assert "Traceback" not in str(chat.frames)


# -- acknowledging, other tabs --------------------------------------------------------


async def test_what_was_not_sent_cannot_be_acknowledged(chat: Chat):
    asked = await chat.ask("golden-turn")
    await chat.end_of(asked["execution_id"])
    thread = asked["thread_id"]

    await chat.send("ack", id="ok", thread_id=thread, seq=len(TURN))
    await chat.send("ack", id="low", thread_id=thread, seq=1)
    await chat.send("ack", id="high", thread_id=thread, seq=len(TURN) + 1)

    refused = await chat.refusal()
    assert (refused["id"], refused["data"]["field"]) == ("high", "seq")


async def test_two_sockets_of_one_person_see_the_same(
    netra_server: Installation, open_chat: OpenChat
):
    person = netra_server.someone()
    one, two = await open_chat(person), await open_chat(person)
    first = await one.ask("golden-turn")
    changed = await two.until(lambda f: f["type"] == "thread_changed")
    await two.subscribe(first["thread_id"])

    second = await two.ask("golden-turn", thread_id=first["thread_id"])
    for chat in (one, two):
        await chat.end_of(second["execution_id"])

    assert changed["data"] == {"thread_id": first["thread_id"]}
    assert one.events() == two.events()
    assert two.text_of(second["execution_id"]) == GOLDEN
    assert "thread_changed" not in [f["type"] for f in one.frames]


async def test_typing_is_told_to_the_persons_other_sockets_only(
    netra_server: Installation, open_chat: OpenChat
):
    person, stranger = netra_server.someone(), netra_server.someone()
    one, two = await open_chat(person), await open_chat(person)
    other = await open_chat(stranger)
    thread_id = str(uuid.uuid4())

    await one.send("typing", thread_id=thread_id)
    told = await two.until(lambda f: f["type"] == "typing")
    await one.settled()
    await other.settled()

    assert (told["thread_id"], told["data"]) == (thread_id, {})
    assert "typing" not in [f["type"] for f in (*one.frames, *other.frames)]


async def test_a_ping_is_answered_with_its_id(chat: Chat):
    await chat.send("ping", id=1)
    await chat.send("ping")

    assert await chat.receive() == {"type": "pong", "id": "1", "data": {}}
    assert await chat.receive() == {"type": "pong", "data": {}}


async def test_the_greeting_says_who_and_what_is_allowed(
    netra_server: Installation, open_chat: OpenChat
):
    (greeting,) = (await open_chat("alice@acme.example")).frames

    data = greeting["data"]
    assert data["user"]["email"] == "alice@acme.example"
    assert data["organisation"]["slug"] == "acme"
    window = None if netra_server.server == "uvicorn" else 4 * 1024 * 1024
    assert data["limits"]["window"] == window
    assert data["limits"]["text_max"] == 32_000
    assert "message_created" in data["events"]


async def test_thirty_turns_at_once_lose_nothing(
    netra_server: Installation, open_chat: OpenChat
):
    chats = [await open_chat(netra_server.someone()) for _ in range(6)]

    async def five_turns(chat: Chat) -> None:
        asked = [await chat.ask("golden-turn") for _ in range(5)]
        for one in asked:
            await chat.end_of(one["execution_id"])
            check_log(chat.events(one["thread_id"]))
            assert chat.kinds(one["thread_id"]) == TURN, chat.events()[-1]

    await asyncio.gather(*(five_turns(chat) for chat in chats))
