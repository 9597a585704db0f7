"""The WebSocket's words: frames read into typed requests, answers and events written as frames.

Pure: no Django, no socket. What a request does is the router's business.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import IntEnum, StrEnum
from typing import Any, NoReturn
from uuid import UUID

from apps.chat.limits import FRAME_MAX
from apps.chat.values import checked_text, kind_of
from apps.core.errors import BadFrameError, NetraError, TooLargeError

SUBPROTOCOL = "netra.v1"
ID_MAX = 128
DEPTH_MAX = 32
BAD_FRAMES_MAX = 10


class CloseCode(IntEnum):
    """Why the server ends a connection."""

    BAD_FRAMES = 4400
    NOT_AUTHENTICATED = 4401
    REFUSED = 4403
    SLOW = 4408
    TOO_MANY = 4409
    RATE = 4429
    UNAVAILABLE = 4503


class RequestType(StrEnum):
    """What a client may ask."""

    USER_MESSAGE = "user_message"
    SUBSCRIBE = "subscribe"
    UNSUBSCRIBE = "unsubscribe"
    ACK = "ack"
    CANCEL = "cancel"
    RETRY = "retry"
    DECIDE = "decide"
    FEEDBACK = "feedback"
    TYPING = "typing"
    PING = "ping"


# Events after which the text that was streamed for an execution is complete, or void.
ENDS_TEXT = frozenset({"agent_completed", "agent_error", "agent_cancelled"})
VOIDS_TEXT = ENDS_TEXT | {"agent_started", "attempt_started"}

_SAYING = "message chat chat_message user user_input start_agent agent_request"
ALIASES = dict.fromkeys(_SAYING.split(), RequestType.USER_MESSAGE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One frame of a client. `fields` holds `data` (or `payload`) over the top level."""

    type: RequestType
    id: str | None
    fields: Mapping[str, Any]


class RefusedFrame(Exception):  # noqa: N818 - it is a frame that was refused, with the error inside
    """A frame that cannot be obeyed; `id` is the client's, where it could be read."""

    def __init__(self, error: NetraError, frame_id: str | None = None) -> None:
        self.error, self.id = error, frame_id
        super().__init__(error.message)


def parse(raw: str | bytes | None) -> Request:
    """Read one frame; raises RefusedFrame with BadFrameError, TooLargeError or InvalidInputError."""
    if not isinstance(raw, str):
        raise RefusedFrame(
            BadFrameError(
                "Binary frames are not understood.", fix="Send JSON as a text frame."
            )
        )
    if len(raw) > FRAME_MAX or (len(raw) * 4 > FRAME_MAX and _size(raw) > FRAME_MAX):
        raise RefusedFrame(
            TooLargeError(
                f"The frame is larger than {FRAME_MAX // 1024} KiB.",
                values={"limit_bytes": FRAME_MAX},
            )
        )
    frame = _object(raw)
    frame_id = _frame_id(frame)
    try:
        return Request(type=_type(frame), id=frame_id, fields=_fields(frame))
    except NetraError as error:
        raise RefusedFrame(error, frame_id) from error


def frame(
    kind: str,
    data: Mapping[str, object],
    *,
    id: str | None = None,  # noqa: A002 - the protocol's own word
    thread_id: UUID | None = None,
    execution_id: UUID | None = None,
    seq: int | None = None,
    event_id: UUID | None = None,
    at: datetime | None = None,
) -> str:
    """One server frame as JSON text."""
    envelope: dict[str, object] = {"type": kind}
    if id is not None:
        envelope["id"] = id
    if thread_id is not None:
        envelope["thread_id"] = str(thread_id)
    if execution_id is not None:
        envelope["execution_id"] = str(execution_id)
    if seq is not None:
        envelope["seq"] = seq
    if event_id is not None:
        envelope["event_id"] = str(event_id)
    if at is not None:
        envelope["at"] = stamp(at)
    envelope["data"] = data
    return _encode(envelope)


def error_frame(
    error: NetraError,
    *,
    id: str | None = None,  # noqa: A002 - the protocol's own word
    receipt_id: UUID | None = None,
) -> str:
    """The one place where an error becomes a frame."""
    data: dict[str, object] = {
        "code": error.code,
        "message": error.message,
        "fix": error.fix,
        "receipt_id": None,
    }
    if error.field:
        data["field"] = error.field
    if receipt_id is not None:
        data["receipt_id"] = str(receipt_id)
    if error.retry_after is not None:
        data["retry_after"] = error.retry_after
    return frame("error", data, id=id)


def stamp(at: datetime) -> str:
    """ISO 8601 in UTC with a Z."""
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


_encode = json.JSONEncoder(
    separators=(",", ":"), ensure_ascii=False, allow_nan=False
).encode


def _size(raw: str) -> int:
    return len(raw.encode("utf-8", "surrogatepass"))


def _object(raw: str) -> dict[str, Any]:
    try:
        frame = _decode(raw)
    except BadFrameError as error:
        raise RefusedFrame(error) from error
    except (ValueError, RecursionError) as error:
        what = (
            "is nested too deeply"
            if isinstance(error, RecursionError)
            else "is not valid JSON"
        )
        raise RefusedFrame(BadFrameError(f"The frame {what}.")) from error
    if not isinstance(frame, dict):
        raise RefusedFrame(
            BadFrameError(f"A frame must be an object, not {kind_of(frame)}.")
        )
    if _depth(frame) > DEPTH_MAX:
        raise RefusedFrame(
            BadFrameError(f"The frame is nested more than {DEPTH_MAX} deep."),
            _readable_id(frame),
        )
    return frame


def _refuse_constant(name: str) -> NoReturn:
    raise BadFrameError(
        f"{name} is not a JSON number.", fix="Send finite numbers, or null."
    )


def _finite(number: str) -> float:
    value = float(number)
    return value if math.isfinite(value) else _refuse_constant(number[:64])


_decode = json.JSONDecoder(parse_constant=_refuse_constant, parse_float=_finite).decode


def _depth(value: object) -> int:
    depth, level = 0, [value]
    while level and depth <= DEPTH_MAX:
        depth += 1
        level = [
            child
            for item in level
            if isinstance(item, dict | list)
            for child in (item.values() if isinstance(item, dict) else item)
            if isinstance(child, dict | list)
        ]
    return depth


def _readable_id(frame: Mapping[str, Any]) -> str | None:
    try:
        return _frame_id(frame)
    except RefusedFrame:
        return None


def _frame_id(frame: Mapping[str, Any]) -> str | None:
    value = frame.get("id")
    if value is None or value == "":
        return None
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise RefusedFrame(
            BadFrameError("'id' must be a string or a number.", field="id")
        )
    text = str(value)
    if len(text) > ID_MAX:
        raise RefusedFrame(
            BadFrameError(f"'id' is longer than {ID_MAX} characters.", field="id")
        )
    try:
        return checked_text(text, ID_MAX, field="id")
    except NetraError as error:
        raise RefusedFrame(BadFrameError(error.message, field="id")) from error


def _type(frame: Mapping[str, Any]) -> RequestType:
    value = frame.get("type")
    if not isinstance(value, str):
        raise BadFrameError("The frame has no 'type'.", field="type")
    if value in ALIASES:
        return ALIASES[value]
    try:
        return RequestType(value)
    except ValueError:
        known = ", ".join(kind.value for kind in RequestType)
        raise BadFrameError(
            f"The type {value[:64]!r} is not known.",
            field="type",
            fix=f"Use one of: {known}.",
        ) from None


def _fields(frame: Mapping[str, Any]) -> dict[str, Any]:
    fields = dict(frame)
    for key in ("payload", "data"):
        inner = frame.get(key)
        if inner is None:
            continue
        if not isinstance(inner, dict):
            raise BadFrameError(
                f"'{key}' must be an object, not {kind_of(inner)}.", field=key
            )
        fields |= {name: value for name, value in inner.items() if value is not None}
    return fields
