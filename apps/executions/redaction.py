"""Events as staff may see them: what happened, when and how large; never what was said.

The one way from event payloads to a page of the admin.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from apps.core.content import describing, masked
from apps.executions.models import Event

EVENTS = 500  # an inspector shows no more
# Fields whose values say what happened and not what was said.
OPEN = frozenset(
    {
        "agent",
        "attempt",
        "status",
        "step",
        "progress",
        "call_id",
        "tool",
        "ms",
        "expires_at",
        "kept",
        "approved",
        "by",
        "final",
        "message_id",
        "role",
        "code",
        "receipt_id",
        "retryable",
        "quality",
        "usage",
    }
)
# Fields that exist by the protocol and hold people's words, or an agent's.
CLOSED = frozenset(
    {
        "text",
        "note",
        "arguments",
        "result",
        "reason",
        "message",
        "fix",
        "client_id",
        "metadata",
        "error",
    }
)
_PLAIN = re.compile(r"[A-Za-z0-9_.:+-]{1,64}\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One field of a payload: its value where that is open, else its kind and size."""

    name: str
    shown: str
    hidden: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RedactedEvent:
    """One entry of the log without what was said."""

    seq: int
    type: str
    attempt: int
    at: datetime
    final: bool
    size: int
    parts: tuple[Part, ...]

    def value(self, name: str) -> str:
        """An open field's value, empty when it is absent or hidden."""
        found = (p.shown for p in self.parts if p.name == name and not p.hidden)
        return next(found, "")


def redacted(execution_id: UUID, *, limit: int = EVENTS) -> list[RedactedEvent]:
    """The first events of an execution, in order, without content."""
    rows = Event.objects.filter(execution_id=execution_id).order_by("seq")[:limit]
    columns = ("seq", "type", "attempt", "at", "final", "payload")
    with describing():
        return [_event(row) for row in rows.values(*columns)]


def redacted_parts(payload: Mapping[str, Any]) -> tuple[Part, ...]:
    """The fields of one payload. Whatever the protocol does not name is hidden, name and all."""
    return tuple(
        part for name, value in payload.items() for part in _parts(str(name), value)
    )


def without_words(payload: Mapping[str, Any]) -> dict[str, Any]:
    """The payload with those fields only that say what happened, for a log that is to forget."""
    return {
        name: value
        for name, value in payload.items()
        if name == "usage" or (name in OPEN and _harmless(value))
    }


def _event(row: Mapping[str, Any]) -> RedactedEvent:
    payload = row["payload"] if isinstance(row["payload"], dict) else {}
    return RedactedEvent(
        seq=row["seq"],
        type=row["type"],
        attempt=row["attempt"],
        at=row["at"],
        final=row["final"],
        size=_size(row["payload"]),
        parts=redacted_parts(payload),
    )


def _parts(name: str, value: object) -> list[Part]:
    if name == "usage" and isinstance(value, dict):
        return [part for key, inner in value.items() for part in _usage(key, inner)]
    if name in OPEN and _harmless(value):
        return [Part(name=name, shown=_plain(value), hidden=False)]
    known = name if name in OPEN | CLOSED else "another field"
    return [Part(name=known, shown=_described(value), hidden=True)]


def _usage(key: object, value: object) -> list[Part]:
    if key in {"input_tokens", "output_tokens", "cost_usd"} and _harmless(value):
        return [Part(name=str(key), shown=_plain(value), hidden=False)]
    return [Part(name="usage", shown=_described(value), hidden=True)]


def _harmless(value: object) -> bool:
    """Numbers, yes and no, nothing, and single words such as ids and names."""
    if isinstance(value, str):
        return not value or bool(_PLAIN.match(value))
    return value is None or isinstance(value, (bool, int, float))


def _plain(value: object) -> str:
    if value is None or isinstance(value, bool):
        return {None: "none", True: "yes", False: "no"}[value]
    return str(value)


def _described(value: object) -> str:
    match value:
        case str():
            return masked(len(value))
        case dict():
            return f"{_counted(len(value), 'field')}, {_counted(_size(value), 'byte')}"
        case list():
            return f"{_counted(len(value), 'item')}, {_counted(_size(value), 'byte')}"
        case None:
            return "none"
    return "a value"


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _size(value: object) -> int:
    return len(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode())
