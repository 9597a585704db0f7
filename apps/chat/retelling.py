"""What the log tells of each answer beside its text, for the page: steps, questions, how it failed.

The page's script draws the same from the events themselves; both use the same words.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from apps.chat.precedence import INTERRUPTED
from apps.executions import queries
from apps.executions.events import LogEntry
from apps.executions.states import EventType

STOPPED_BY = {"staff": "Stopped by support", "system": "Stopped by the system"}
DECIDED_BY = {"user": " by you", "staff": " by support"}
Shown = dict[str, Any]


@dataclass(slots=True)
class Told:
    """About one execution. A step is a tool's call, or a question (`asked`) and its answer."""

    steps: list[Shown] = field(default_factory=list)
    error: Shown | None = None
    stopped: Shown | None = None

    @property
    def calls(self) -> int:
        return sum("asked" not in step for step in self.steps)


NOTHING = Told()


def told_by_events(thread_id: UUID) -> dict[UUID, Told]:
    """What the log tells of each execution of a thread."""
    told: dict[UUID, Told] = {}
    for entry in queries.events_of_kinds(thread_id, TELLERS):
        if entry.execution_id is not None:
            about = told.setdefault(entry.execution_id, Told())
            TELLERS[entry.type](about, entry)
    return told


def _began(about: Told, entry: LogEntry) -> None:
    about.steps.append(
        {
            "call_id": entry.payload.get("call_id"),
            "tool": entry.payload.get("tool"),
            "arguments": _json(entry.payload.get("arguments")),
            "status": "",
            "ms": None,
        }
    )


def _ended(about: Told, entry: LogEntry) -> None:
    for step in _steps_of(about, entry, asked=False):
        step |= {
            "status": entry.payload.get("status"),
            "ms": entry.payload.get("ms"),
            "result": _json(entry.payload.get("result")),
        }


def _again(about: Told, _: LogEntry) -> None:
    """Calls of an earlier attempt are void; what a person was asked and said is not."""
    about.steps = [step for step in about.steps if "asked" in step]
    _void(about)


def _asked(about: Told, entry: LogEntry) -> None:
    payload = entry.payload
    about.steps.append(
        {
            "asked": True,
            "call_id": payload.get("call_id"),
            "tool": payload.get("tool"),
            "arguments": _json(payload.get("arguments")),
            "why": payload.get("reason"),
            "until": payload.get("expires_at"),
            "approved": "",
            "words": "Waiting for your decision.",
        }
    )


def _decided(about: Told, entry: LogEntry) -> None:
    payload = entry.payload
    approved, by = bool(payload.get("approved")), str(payload.get("by"))
    comment = payload.get("reason")
    words = "Refused: nobody answered in time."
    if approved or by != "system":
        verb = "Approved" if approved else "Refused"
        end = f": {comment}" if comment else "."
        words = f"{verb}{DECIDED_BY.get(by, '')}{end}"
    for step in _steps_of(about, entry, asked=True):
        step |= {
            "approved": "yes" if approved else "no",
            "by": by,
            "comment": comment,
            "words": words,
        }


def _failed(about: Told, entry: LogEntry) -> None:
    _void(about)
    kept = ("message", "fix", "receipt_id")
    about.error = {name: entry.payload.get(name) for name in kept}


def _cancelled(about: Told, entry: LogEntry) -> None:
    """Who stopped an answer; and why, unless the reader did."""
    _void(about)
    by = entry.payload.get("by")
    words = STOPPED_BY.get(str(by), "Stopped by you")
    reason = entry.payload.get("reason")
    told = by in STOPPED_BY or reason == INTERRUPTED
    about.stopped = {"by": by, "words": words, "why": reason if told else ""}


def _void(about: Told) -> None:
    """Nobody waits for an answer any more."""
    for step in about.steps:
        if step.get("approved") == "":
            step |= {"approved": "void", "words": "No longer needed."}


def _steps_of(about: Told, entry: LogEntry, *, asked: bool) -> list[Shown]:
    call_id = entry.payload.get("call_id")
    return [
        step
        for step in about.steps
        if ("asked" in step) is asked and step["call_id"] == call_id
    ]


def _json(value: object) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False, default=str)


TELLERS = {
    EventType.TOOL_EXECUTING: _began,
    EventType.TOOL_COMPLETED: _ended,
    EventType.ATTEMPT_STARTED: _again,
    EventType.APPROVAL_REQUESTED: _asked,
    EventType.APPROVAL_DECIDED: _decided,
    EventType.AGENT_ERROR: _failed,
    EventType.AGENT_CANCELLED: _cancelled,
}
