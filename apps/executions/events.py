"""What executions announce, and the entries of the numbered log."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from apps.core.hub import crosses
from apps.executions.states import EventType, ExecutionState


@dataclass(frozen=True, slots=True, kw_only=True)
class LogEntry:
    """One event of a stream as it was committed."""

    stream_id: UUID
    seq: int
    event_uid: UUID
    execution_id: UUID | None
    attempt: int
    type: EventType
    payload: dict[str, object]
    at: datetime


@crosses
@dataclass(frozen=True, slots=True, kw_only=True)
class StreamAdvanced:
    """Hint: these entries were committed to a stream."""

    entries: tuple[LogEntry, ...]


@crosses
@dataclass(frozen=True, slots=True, kw_only=True)
class TextDelta:
    """Hint, never stored: the next piece of an answer. `offset` counts code points."""

    stream_id: UUID
    execution_id: UUID
    message_id: UUID | None
    attempt: int
    offset: int
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionQueued:
    """A row waits for a runner."""

    execution_id: UUID
    organisation_id: UUID


@crosses
@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionCancelRequested:
    """Someone wants a claimed execution to stop."""

    execution_id: UUID
    organisation_id: UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What an execution consumed; money in US dollars."""

    model: str = ""
    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: str = "0"


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionFinished:
    """An execution reached a terminal state. `text` is the answer, or what was kept of it."""

    execution_id: UUID
    organisation_id: UUID
    user_id: UUID
    stream_id: UUID
    reply_id: UUID | None
    agent: str
    state: ExecutionState
    text: str
    partial: bool
    error_code: str
    error_class: str
    at: datetime
    usage: Usage = field(default_factory=Usage)
