"""The states of Netra's two predecessors, and what each is here. Pure; names live in `legacy`."""

from __future__ import annotations

from enum import StrEnum

from apps.executions.states import ExecutionState, checked_state

S = ExecutionState


class SixState(StrEnum):
    """The states of the first tracker: no starting, completing or cancelled."""

    PENDING = "pending"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    TIMEOUT = "timeout"
    DEAD = "dead"


class RegistryState(StrEnum):
    """The eight states of the registry beside it."""

    PENDING = "pending"
    INITIALIZING = "initializing"
    RUNNING = "running"
    SUCCESS = "success"
    FAILED = "failed"
    TIMEOUT = "timeout"
    ABORTED = "aborted"
    RECOVERING = "recovering"


FROM_SIX: dict[SixState, ExecutionState] = {
    state: ExecutionState(state.value) for state in SixState
}
# A cancelled run was recorded as failed there; the two that pass quickly were running.
TO_SIX: dict[ExecutionState, SixState] = {
    S.PENDING: SixState.PENDING,
    S.STARTING: SixState.PENDING,
    S.RUNNING: SixState.RUNNING,
    S.COMPLETING: SixState.RUNNING,
    S.COMPLETED: SixState.COMPLETED,
    S.FAILED: SixState.FAILED,
    S.TIMEOUT: SixState.TIMEOUT,
    S.DEAD: SixState.DEAD,
    S.CANCELLED: SixState.FAILED,
}
# Recovering had no equal. It meant that the work begins once more, which here is `starting`
# with a higher attempt; the attempt, not the state, tells that it is not the first.
FROM_REGISTRY: dict[RegistryState, ExecutionState] = {
    RegistryState.PENDING: S.PENDING,
    RegistryState.INITIALIZING: S.STARTING,
    RegistryState.RUNNING: S.RUNNING,
    RegistryState.SUCCESS: S.COMPLETED,
    RegistryState.FAILED: S.FAILED,
    RegistryState.TIMEOUT: S.TIMEOUT,
    RegistryState.ABORTED: S.CANCELLED,
    RegistryState.RECOVERING: S.STARTING,
}
TO_REGISTRY: dict[ExecutionState, RegistryState] = {
    S.PENDING: RegistryState.PENDING,
    S.STARTING: RegistryState.INITIALIZING,
    S.RUNNING: RegistryState.RUNNING,
    S.COMPLETING: RegistryState.RUNNING,
    S.COMPLETED: RegistryState.SUCCESS,
    S.FAILED: RegistryState.FAILED,
    S.TIMEOUT: RegistryState.TIMEOUT,
    S.DEAD: RegistryState.FAILED,
    S.CANCELLED: RegistryState.ABORTED,
}
_LINE = (S.PENDING, S.STARTING, S.RUNNING, S.COMPLETING, S.COMPLETED)


def walk(source: ExecutionState, target: ExecutionState) -> tuple[ExecutionState, ...]:
    """The steps from `source` to `target`: the predecessors knew neither starting nor completing.

    Goes forward along the way of a success only. Anything else is one step, which the table of
    transitions allows or refuses.
    """
    checked_state(source)
    checked_state(target)
    if source in _LINE and target in _LINE:
        steps = _LINE[_LINE.index(source) + 1 : _LINE.index(target) + 1]
        if steps:
            return steps
    return (target,)
