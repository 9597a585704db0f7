"""The tables of executions: the work and its log, the step ledger, the circuit breakers."""

from __future__ import annotations

from apps.executions.models.breakers import Breaker
from apps.executions.models.execution import (
    CLAIMED_VALUES,
    STATES,
    TERMINAL_VALUES,
    Attempt,
    Content,
    Event,
    Execution,
    PhaseEntry,
    RefusedMove,
    Stream,
    Transition,
)
from apps.executions.models.steps import Approval, Step

__all__ = [
    "CLAIMED_VALUES",
    "STATES",
    "TERMINAL_VALUES",
    "Approval",
    "Attempt",
    "Breaker",
    "Content",
    "Event",
    "Execution",
    "PhaseEntry",
    "RefusedMove",
    "Step",
    "Stream",
    "Transition",
]
