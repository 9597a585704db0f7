"""Frames read and written, without a socket: whatever a client sends is a request or a named refusal."""

from __future__ import annotations

import json
import math
import uuid
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.chat import protocol
from apps.chat.protocol import ALIASES, FRAME_MAX, RefusedFrame, Request, RequestType
from apps.core.errors import (
    BadFrameError,
    InvalidInputError,
    NetraError,
    NotFoundError,
    RateLimitedError,
    TooLargeError,
)

pytestmark = pytest.mark.security
ODD = ["\x00", "\ud800", "\udfff", "\u202e", "\ufeff", "𝔘", "\U0010ffff", "\x1f", " "]
TEXTS = st.text() | st.lists(st.sampled_from(ODD)).map("".join)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | TEXTS
JSON = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4)
    ),
    max_leaves=12,
)
KINDS = st.sampled_from([*RequestType, *ALIASES, "sudo", ""])


def refused(raw: str | bytes | None) -> RefusedFrame:
    with pytest.raises(RefusedFrame) as caught:
        protocol.parse(raw)
    return caught.value


# -- anything at all -----------------------------------------------------------------


@given(JSON)
def test_any_json_is_a_request_or_a_refusal(value: object) -> None:
    _parse_or_refuse(json.dumps(value))


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "type": KINDS | JSON,
            "id": JSON,
            "data": JSON,
            "payload": JSON,
            "text": JSON,
            "thread_id": JSON,
        },
    )
)
def test_anything_in_the_known_keys_is_a_request_or_a_refusal(frame: dict) -> None:
    _parse_or_refuse(json.dumps(frame))


@given(st.text() | st.binary())
def test_any_frame_is_a_request_or_a_refusal(raw: str | bytes) -> None:
    _parse_or_refuse(raw)


def _parse_or_refuse(raw: str | bytes) -> None:
    request, refusal = None, None
    try:
        request = protocol.parse(raw)
    except RefusedFrame as error:
        refusal = error
    if request is not None:
        assert isinstance(request.type, RequestType)
        assert request.id is None or (0 < len(request.id) <= 128)
        assert (request.id or "").encode() is not None
    if refusal is not None:
        assert isinstance(refusal.error, BadFrameError | TooLargeError)
        frame = protocol.error_frame(refusal.error, id=refusal.id)
        assert frame.encode()  # no half character goes out
        assert json.loads(frame)["data"]["code"] in {"bad_frame", "too_large"}


# -- the envelope --------------------------------------------------------------------


@pytest.mark.parametrize("kind", RequestType)
def test_every_type_of_request_is_understood(kind: RequestType) -> None:
    assert protocol.parse(json.dumps({"type": kind})) == Request(
        type=kind, id=None, fields={"type": kind}
    )


@pytest.mark.parametrize(
    "alias",
    [
        "message",
        "chat",
        "chat_message",
        "user",
        "user_input",
        "start_agent",
        "agent_request",
    ],
)
def test_the_aliases_of_a_message_are_messages(alias: str) -> None:
    assert protocol.parse(json.dumps({"type": alias})).type is RequestType.USER_MESSAGE


def test_data_goes_over_payload_and_payload_over_the_top_level() -> None:
    frame = {
        "type": "chat",
        "a": 1,
        "b": 1,
        "c": 1,
        "payload": {"b": 2, "c": 2},
        "data": {"c": 3},
    }

    fields = protocol.parse(json.dumps(frame)).fields

    assert (fields["a"], fields["b"], fields["c"]) == (1, 2, 3)


def test_null_in_data_hides_nothing_of_the_top_level() -> None:
    frame = {"type": "chat", "text": "t", "data": {"text": None}, "payload": None}

    assert protocol.parse(json.dumps(frame)).fields["text"] == "t"


@pytest.mark.parametrize(
    ("given", "read"),
    [
        (None, None),
        ("", None),
        ("a", "a"),
        (7, "7"),
        (-1, "-1"),
        (1.5, "1.5"),
        (10**100, str(10**100)),
        ("é" * 128, "é" * 128),
        ("𝔘" * 128, "𝔘" * 128),
    ],
    ids=str,
)
def test_ids_are_texts_or_numbers(given: object, read: str | None) -> None:
    assert protocol.parse(json.dumps({"type": "ping", "id": given})).id == read


@pytest.mark.parametrize(
    "given",
    [True, False, [], {}, "i" * 129, 10**128, "a\x00", "\ud800", "  "],
    ids=repr,
)
def test_other_ids_are_refused_and_not_repeated(given: object) -> None:
    refusal = refused(json.dumps({"type": "ping", "id": given}))

    assert isinstance(refusal.error, BadFrameError)
    assert (refusal.id, refusal.error.field) == (None, "id")


@pytest.mark.parametrize("raw", [None, b"", b"{}", b"\xff"])
def test_binary_frames_are_not_understood(raw: bytes | None) -> None:
    assert "Binary" in refused(raw).error.message


@pytest.mark.parametrize(
    "number", ["NaN", "Infinity", "-Infinity", "1e999", "-1e400", "9" * 5000]
)
def test_numbers_that_are_none_are_refused(number: str) -> None:
    raw = f'{{"type":"ping","id":"x","data":{{"a":[{number}]}}}}'

    assert isinstance(refused(raw).error, BadFrameError)


@pytest.mark.parametrize("raw", ["", " ", "{", "[]", "null", "1", '"a"', "{'a':1}"])
def test_what_is_no_object_is_refused(raw: str) -> None:
    error = refused(raw).error

    assert isinstance(error, BadFrameError)
    assert error.fix


def test_a_frame_may_be_nested_32_deep_and_no_deeper() -> None:
    def nested(depth: int) -> str:  # the frame itself is the first level
        return f'{{"type":"ping","id":"x","data":{{"a":{"[" * depth}{"]" * depth}}}}}'

    assert protocol.parse(nested(30)).type is RequestType.PING
    refusal = refused(nested(31))
    assert (refusal.id, refusal.error.code) == ("x", "bad_frame")
    assert refused(nested(100_000)).error.code == "bad_frame"


@pytest.mark.parametrize("letter", ["a", "é", "€", "𝔘"])
def test_a_frame_may_have_512_kib_and_no_more(letter: str) -> None:
    def sized(size: int) -> str:
        start, end = '{"type":"ping","a":"', '"}'
        room = size - len(start) - len(end)
        width = len(letter.encode())
        return start + letter * (room // width) + "x" * (room % width) + end

    largest = sized(FRAME_MAX)
    assert len(largest.encode()) == FRAME_MAX == 512 * 1024
    assert protocol.parse(largest).type is RequestType.PING
    assert isinstance(refused(sized(FRAME_MAX + 1)).error, TooLargeError)


@pytest.mark.parametrize("given", [None, 1, True, [], {}, "sudo", "PING", "\ud800"])
def test_an_unknown_type_is_refused_with_those_that_are_known(given: object) -> None:
    refusal = refused(json.dumps({"type": given, "id": "x"}))

    assert (refusal.id, refusal.error.field) == ("x", "type")
    if isinstance(given, str):
        assert all(kind in refusal.error.fix for kind in RequestType)
        refusal.error.message.encode()


@pytest.mark.parametrize("key", ["data", "payload"])
@pytest.mark.parametrize("given", [1, "t", [], True, 0, ""])
def test_data_must_be_an_object(key: str, given: object) -> None:
    refusal = refused(json.dumps({"type": "ping", "id": "x", key: given}))

    assert (refusal.id, refusal.error.field) == ("x", key)


# -- what the server says ------------------------------------------------------------


def test_a_frame_holds_what_it_is_given_and_nothing_else() -> None:
    thread, execution, event = (uuid.uuid4() for _ in range(3))
    at = datetime(2026, 2, 3, 4, 5, 6, 7, tzinfo=timezone(timedelta(hours=1)))

    full = protocol.frame(
        "x",
        {"a": "é"},
        id="1",
        thread_id=thread,
        execution_id=execution,
        seq=3,
        event_id=event,
        at=at,
    )

    assert json.loads(full) == {
        "type": "x",
        "id": "1",
        "thread_id": str(thread),
        "execution_id": str(execution),
        "seq": 3,
        "event_id": str(event),
        "at": "2026-02-03T03:05:06.000007Z",
        "data": {"a": "é"},
    }
    assert json.loads(protocol.frame("pong", {})) == {"type": "pong", "data": {}}


def test_times_end_with_z() -> None:
    assert protocol.stamp(datetime(2026, 1, 1, tzinfo=UTC)) == "2026-01-01T00:00:00Z"


def test_a_frame_with_a_number_that_is_none_is_never_sent() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        protocol.frame("x", {"a": math.nan})


@pytest.mark.parametrize(
    "error",
    [
        NotFoundError(),
        InvalidInputError("No.", field="text", fix="Do."),
        RateLimitedError(retry_after=3.5),
        NetraError("Why."),
    ],
    ids=lambda error: error.code,
)
def test_an_error_frame_says_what_why_and_what_to_do(error: NetraError) -> None:
    receipt = uuid.uuid4()

    said = json.loads(protocol.error_frame(error, id="x", receipt_id=receipt))

    assert (said["type"], said["id"]) == ("error", "x")
    data = said["data"]
    assert (data["code"], data["message"], data["fix"]) == (
        error.code,
        error.message,
        error.fix,
    )
    assert data["receipt_id"] == str(receipt)
    assert data.get("field") == error.field
    assert data.get("retry_after") == error.retry_after
