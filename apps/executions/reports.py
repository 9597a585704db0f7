"""What a tracker tells about executions: their moves, the time left, counts. Reads only."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db.models import Count

from apps.executions.circuit import CircuitState
from apps.executions.models import Breaker, Execution, Transition
from apps.executions.states import ALIVE, ExecutionState

S = ExecutionState


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """One move of an execution; the first comes from nothing."""

    n: int
    source: ExecutionState | None
    target: ExecutionState
    reason: str
    actor: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeLeft:
    """How long an execution may still take. The deadline is set when it is first claimed."""

    seconds: int
    deadline_at: datetime | None
    seconds_left: float
    expired: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """How many executions stand where. Rates are of those that ended, 0 where none has."""

    total: int
    active: int
    completed: int
    failed: int
    timeout: int
    dead: int
    cancelled: int

    @property
    def success_rate(self) -> float:
        return self._share(self.completed)

    @property
    def failure_rate(self) -> float:
        return self._share(self.failed + self.timeout + self.dead)

    def _share(self, part: int) -> float:
        ended = self.total - self.active
        return part / ended if ended else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerStatus:
    """Whether calls to a provider's model pass, and for how many seconds they do not."""

    key: str
    state: CircuitState = CircuitState.CLOSED
    failures: int = 0
    trips: int = 0
    seconds_left: float = 0.0


def moves_of(execution_id: UUID) -> list[Move]:
    """All moves of an execution, in order."""
    rows = Transition.objects.filter(execution_id=execution_id).order_by("n")
    return [
        Move(
            n=row.n,
            source=S(row.from_state) if row.from_state else None,
            target=S(row.to_state),
            reason=row.reason,
            actor=row.actor_label,
            at=row.at,
        )
        for row in rows
    ]


def time_left(row: Execution, now: datetime) -> TimeLeft:
    """Counted from the first claim; the whole time while it waits, none once it has ended."""
    left = float(row.timeout_seconds)
    if row.deadline_at is not None:
        left = (row.deadline_at - now).total_seconds()
    if row.state not in ALIVE:
        left = 0.0
    return TimeLeft(
        seconds=row.timeout_seconds,
        deadline_at=row.deadline_at,
        seconds_left=max(left, 0.0),
        expired=row.state == S.TIMEOUT or (row.state in ALIVE and left <= 0),
    )


def figures() -> Figures:
    """Counts over the open scope."""
    rows = Execution.objects.order_by().values_list("state").annotate(n=Count("id"))
    counts: dict[str, int] = dict(rows)
    return Figures(
        total=sum(counts.values()),
        active=sum(counts.get(state.value, 0) for state in ALIVE),
        completed=counts.get(S.COMPLETED, 0),
        failed=counts.get(S.FAILED, 0),
        timeout=counts.get(S.TIMEOUT, 0),
        dead=counts.get(S.DEAD, 0),
        cancelled=counts.get(S.CANCELLED, 0),
    )


def breaker_of(key: str, now: datetime) -> BreakerStatus:
    """Whether calls to a provider's model pass; one that never failed has no row and is closed."""
    row = Breaker.objects.filter(key=key).first()
    if row is None:
        return BreakerStatus(key=key)
    left = (row.open_until - now).total_seconds() if row.open_until else 0.0
    return BreakerStatus(
        key=key,
        state=CircuitState(row.state),
        failures=row.failures,
        trips=row.trips,
        seconds_left=max(left, 0.0),
    )
