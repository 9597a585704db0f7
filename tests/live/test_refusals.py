"""Everything a client may get wrong over a real socket: explained, nothing written, still connected."""

from __future__ import annotations

import contextlib
import json
import uuid

import pytest
from websockets.exceptions import ConnectionClosed

from tests.live.chat import Chat
from tests.live.installation import Installation

pytestmark = [
    pytest.mark.live,
    pytest.mark.golden_path,
    pytest.mark.integration,
    pytest.mark.security,
]
ABSENT = "6f1d5c1e-5b6c-4d0a-9a2e-0c7f4b8d1a11"
DEEP = "[" * 40 + "]" * 40
KIB = 1024


def message(**data: object) -> str:
    return json.dumps({"type": "user_message", "id": "x", "data": data})


def named(text: str) -> str:
    """A frame with raw JSON in it."""
    return f'{{"type":"user_message","id":"x","data":{{"text":"t","metadata":{{"a":{text}}}}}}}'


# name: (frame, code, whether the client's id could be read)
BAD = {
    "no json": ("hello", "bad_frame", False),
    "half of it": ('{"type":"ping"', "bad_frame", False),
    "nothing": ("", "bad_frame", False),
    "a list": ("[]", "bad_frame", False),
    "null": ("null", "bad_frame", False),
    "a number": ("17", "bad_frame", False),
    "NaN": (named("NaN"), "bad_frame", False),
    "Infinity": (named("-Infinity"), "bad_frame", False),
    "a number too large": (named("1e999"), "bad_frame", False),
    "a very long number": (named("9" * 5000), "bad_frame", False),
    "deep": (named(DEEP), "bad_frame", True),
    "very deep": (named("[" * 50_000 + "]" * 50_000), "bad_frame", False),
    "binary": (b'{"type":"ping","id":"x"}', "bad_frame", False),
    "no type": ('{"id":"x"}', "bad_frame", True),
    "type null": ('{"type":null,"id":"x"}', "bad_frame", True),
    "type a number": ('{"type":1,"id":"x"}', "bad_frame", True),
    "type unknown": ('{"type":"sudo","id":"x"}', "bad_frame", True),
    "data a list": ('{"type":"ping","id":"x","data":[]}', "bad_frame", True),
    "payload text": ('{"type":"ping","id":"x","payload":"p"}', "bad_frame", True),
    "id a list": ('{"type":"ping","id":[1]}', "bad_frame", False),
    "id true": ('{"type":"ping","id":true}', "bad_frame", False),
    "id too long": (json.dumps({"type": "ping", "id": "i" * 129}), "bad_frame", False),
    "id with NUL": ('{"type":"ping","id":"a\\u0000"}', "bad_frame", False),
    "id half a character": ('{"type":"ping","id":"\\ud800"}', "bad_frame", False),
    "no text": (message(), "invalid", True),
    "text null": (message(text=None), "invalid", True),
    "text a number": (message(text=17), "invalid", True),
    "text a list": (message(text=["a"]), "invalid", True),
    "text empty": (message(text=""), "invalid", True),
    "text blank": (message(text=" \n\t\u3000"), "invalid", True),
    "text with NUL": (message(text="a\x00b"), "invalid", True),
    "text half a character": (message(text="a\ud800b"), "invalid", True),
    "text too long": (message(text="a" * 32_001), "too_large", True),
    "text of 1 MB": (message(text="a" * 1_000_000), "too_large", False),
    "astral text too long": (message(text="𝔘" * 32_001), "too_large", True),
    "thread no uuid": (message(text="t", thread_id="17"), "invalid", True),
    "thread a number": (message(text="t", thread_id=17), "invalid", True),
    "thread absent": (message(text="t", thread_id=ABSENT), "not_found", True),
    "agent a number": (message(text="t", agent=5), "invalid", True),
    "agent unknown": (message(text="t", agent="nobody"), "not_found", True),
    "agent with NUL": (message(text="t", agent="a\x00"), "invalid", True),
    "metadata a list": (message(text="t", metadata=[1]), "invalid", True),
    "metadata with NUL": (message(text="t", metadata={"a": "\x00"}), "invalid", True),
    "metadata half a character": (
        message(text="t", metadata={"\ud800": 1}),
        "invalid",
        True,
    ),
    "subscribe without thread": ('{"type":"subscribe","id":"x"}', "invalid", True),
    "subscribe to nothing": (
        json.dumps({"type": "subscribe", "id": "x", "thread_id": ABSENT}),
        "not_found",
        True,
    ),
    "subscribe after -1": (
        json.dumps({"type": "subscribe", "id": "x", "thread_id": ABSENT, "after": -1}),
        "invalid",
        True,
    ),
    "subscribe after 1.5": (
        json.dumps({"type": "subscribe", "id": "x", "thread_id": ABSENT, "after": 1.5}),
        "invalid",
        True,
    ),
    "ack without seq": (
        json.dumps({"type": "ack", "id": "x", "thread_id": ABSENT}),
        "invalid",
        True,
    ),
    "cancel without id": ('{"type":"cancel","id":"x"}', "invalid", True),
    "cancel nothing": (
        json.dumps({"type": "cancel", "id": "x", "execution_id": ABSENT}),
        "not_found",
        True,
    ),
}


@pytest.mark.parametrize("case", BAD)
async def test_a_wrong_frame_is_explained_and_leaves_nothing(
    netra_server: Installation, chat: Chat, case: str
):
    frame, code, knows_id = BAD[case]
    thread = await chat.ask("golden-turn")  # so that there is something to damage
    await chat.end_of(thread["execution_id"])
    before = netra_server.written()

    await chat.send_raw(frame)
    refused = await chat.refusal()

    assert refused["data"]["code"] == code, refused
    assert refused.get("id") == ("x" if knows_id else None)
    assert refused["data"]["message"]
    assert refused["data"]["fix"]
    assert netra_server.written() == before
    await chat.settled()
    assert [f["type"] for f in chat.frames].count("error") == 1


async def test_a_refusal_of_a_known_rule_has_a_receipt(
    netra_server: Installation, chat: Chat
):
    await chat.send("user_message", id="x", text=" ")
    refused = await chat.refusal()

    receipt = uuid.UUID(refused["data"]["receipt_id"]).hex
    found = netra_server.rows(
        "SELECT code, field FROM audits_receipt WHERE id = ?", receipt
    )
    assert found == [("invalid", "text")]


async def test_ten_unreadable_frames_end_the_connection(chat: Chat):
    for _ in range(9):
        await chat.send_raw("?")
        await chat.refusal()
    await chat.settled()

    await chat.send_raw("?")

    assert await chat.close_code() == 4400
    assert [f["type"] for f in chat.frames[-2:]] == ["error", "error"]


@pytest.mark.parametrize("size", [512 * KIB, 512 * KIB + 1, 2 * KIB * KIB])
async def test_frames_up_to_two_mebibytes_are_answered(chat: Chat, size: int):
    start = '{"type":"ping","id":"x","data":{"a":"'
    await chat.send_raw(start + "a" * (size - len(start) - 3) + '"}}')

    frame = await chat.receive()
    if size <= 512 * KIB:
        assert (frame["type"], frame["id"]) == ("pong", "x")
    else:
        assert frame["data"]["code"] == "too_large"
        await chat.settled()


async def test_a_frame_beyond_two_mebibytes_is_cut_off_with_1009(chat: Chat):
    with contextlib.suppress(ConnectionClosed):  # it may be cut off while it is sent
        await chat.send_raw("a" * (2 * KIB * KIB + 1))

    assert await chat.close_code() == 1009
