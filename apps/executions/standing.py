"""What is known of an execution between two writes: orders and standings. Values, no writes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from apps.core.actors import Actor
from apps.core.errors import Explanation
from apps.core.ids import rising_id
from apps.executions.contexts import refuse_deep_state
from apps.executions.events import Usage
from apps.executions.models import Execution
from apps.executions.states import ExecutionState, Phase

# Who acts on executions without a person: the lease's holder, and whoever finds it abandoned.
RUNNER = Actor.system("runner")
SWEEPER = Actor.system("sweeper")


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What is needed to queue an execution."""

    organisation_id: UUID
    user_id: UUID
    stream_id: UUID
    runner: str
    agent: str
    tier: str
    timeout_seconds: int
    input: Mapping[str, object]
    id: UUID = field(default_factory=rising_id)
    reply_id: UUID | None = None
    retry_of: UUID | None = None
    waiting_for: str = ""
    max_attempts: int = 3

    def __post_init__(self) -> None:
        refuse_deep_state(self.input)


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Where an execution stood when it was last read or moved; the next write is checked against it."""

    id: UUID
    organisation_id: UUID
    user_id: UUID
    stream_id: UUID
    runner: str
    agent: str
    tier: str
    reply_id: UUID | None
    timeout_seconds: int
    state: ExecutionState
    phase: Phase | None = None
    waiting_for: str = ""
    version: int = 1
    attempt: int = 1
    announced_attempt: int = 0
    max_attempts: int = 3
    fence: int = 0
    lease_token: UUID | None = None
    started_at: datetime | None = None
    deadline_at: datetime | None = None
    cancel_requested_at: datetime | None = None
    phases: int = 0

    @classmethod
    def ordered(cls, order: Order) -> Standing:
        """Where an execution stands when it has just been queued."""
        shared = cls.__dataclass_fields__.keys() & Order.__dataclass_fields__.keys()
        values = {name: getattr(order, name) for name in shared}
        return cls(**values, state=ExecutionState.PENDING)

    @classmethod
    def of(cls, row: Execution) -> Standing:
        values = {name: getattr(row, name) for name in STANDING_COLUMNS}
        values |= {
            "state": ExecutionState(row.state),
            "phase": Phase(row.phase) if row.phase else None,
        }
        return cls(**values)


STANDING_COLUMNS = tuple(
    name for name in Standing.__dataclass_fields__ if name != "phases"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How an execution ends. `text` is the answer, or what was kept of it."""

    state: ExecutionState
    text: str = ""
    usage: Usage = field(default_factory=Usage)
    quality: float | None = None
    explanation: Explanation | None = None
    error_class: str = ""
    error_detail: str = ""
    cancelled_by: str = ""
    breaker: str = ""
    first_token_at: datetime | None = None
