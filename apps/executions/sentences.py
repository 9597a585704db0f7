"""How staff are told about circuit breakers: a badge and one sentence. Reads and decides nothing."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Protocol

from apps.core.templatetags.netra import lasted
from apps.executions.circuit import RATE_LIMITED, CircuitState
from apps.executions.states import ExecutionState

# The word on the badge, and the state of executions that looks like it.
BADGES: dict[CircuitState, tuple[str, ExecutionState]] = {
    CircuitState.CLOSED: ("Closed", ExecutionState.COMPLETED),
    CircuitState.HALF_OPEN: ("Half open", ExecutionState.STARTING),
    CircuitState.OPEN: ("Open", ExecutionState.FAILED),
}


class Breaker(Protocol):
    """What a row says of a breaker."""

    @property
    def state(self) -> str: ...
    @property
    def open_until(self) -> datetime | None: ...
    @property
    def last_error(self) -> str: ...


def left_open(breaker: Breaker, now: datetime) -> timedelta | None:
    """How much longer calls are refused; None where it is not open."""
    if breaker.state != CircuitState.OPEN or breaker.open_until is None:
        return None
    return max(breaker.open_until - now, timedelta())


def stands(breaker: Breaker | None, now: datetime) -> str:
    """How a breaker stands; without a row it never failed, or was forgotten."""
    if breaker is None or breaker.state == CircuitState.CLOSED:
        return "It is closed at present: calls pass."
    left = left_open(breaker, now)
    if left is None:
        return "It is half open: one call at a time tries whether the provider is back."
    if not left:
        return "It is open and its time is over: the next call tries the provider."
    if breaker.last_error == RATE_LIMITED:
        return f"The provider asked for a pause: calls are refused for {lasted(left)} more."
    return f"It is open: calls are refused for {lasted(left)} more, then one tries."
