"""The nine states, the fourteen phases, and which may follow which. An operator can read it."""

from __future__ import annotations

from enum import StrEnum


class ExecutionState(StrEnum):
    """Where an execution stands."""

    PENDING = "pending"  # waits for a runner, a predecessor or an approval
    STARTING = "starting"  # claimed; nothing done yet
    RUNNING = "running"  # the agent works
    COMPLETING = "completing"  # the answer is being written
    COMPLETED = "completed"  # the answer is there
    FAILED = "failed"  # it ended with an error that is explained
    TIMEOUT = "timeout"  # its time was up
    DEAD = "dead"  # its runner was lost too often
    CANCELLED = "cancelled"  # someone stopped it


S = ExecutionState
TRANSITIONS: dict[ExecutionState, frozenset[ExecutionState]] = {
    S.PENDING: frozenset({S.STARTING, S.FAILED, S.TIMEOUT, S.DEAD, S.CANCELLED}),
    S.STARTING: frozenset(
        {S.RUNNING, S.PENDING, S.FAILED, S.TIMEOUT, S.DEAD, S.CANCELLED}
    ),
    S.RUNNING: frozenset(
        {S.COMPLETING, S.PENDING, S.FAILED, S.TIMEOUT, S.DEAD, S.CANCELLED}
    ),
    S.COMPLETING: frozenset({S.COMPLETED, S.PENDING, S.FAILED, S.TIMEOUT, S.DEAD}),
    S.COMPLETED: frozenset(),
    S.FAILED: frozenset(),
    S.TIMEOUT: frozenset(),
    S.DEAD: frozenset(),
    S.CANCELLED: frozenset(),
}
CLAIMED = frozenset({S.STARTING, S.RUNNING, S.COMPLETING})
ALIVE = CLAIMED | {S.PENDING}
TERMINAL = frozenset(ExecutionState) - ALIVE


class Phase(StrEnum):
    """What a claimed execution is doing."""

    CREATED = "created"
    WEBSOCKET_SETUP = "websocket_setup"
    CONTEXT_VALIDATION = "context_validation"
    STARTING = "starting"
    THINKING = "thinking"
    TOOL_PREPARATION = "tool_preparation"
    LLM_INTERACTION = "llm_interaction"
    TOOL_EXECUTION = "tool_execution"
    RESULT_PROCESSING = "result_processing"
    COMPLETING = "completing"
    COMPLETED = "completed"
    TIMEOUT = "timeout"
    FAILED = "failed"
    CIRCUIT_BREAKER_OPEN = "circuit_breaker_open"


P = Phase
_ENDS = frozenset({P.FAILED, P.TIMEOUT})
PHASES: dict[Phase | None, frozenset[Phase]] = {
    None: frozenset({P.CREATED}),
    P.CREATED: frozenset({P.WEBSOCKET_SETUP, P.FAILED}),
    P.WEBSOCKET_SETUP: frozenset({P.CONTEXT_VALIDATION, P.FAILED}),
    P.CONTEXT_VALIDATION: frozenset({P.STARTING, P.FAILED}),
    P.STARTING: frozenset({P.THINKING}) | _ENDS,
    P.THINKING: frozenset({P.TOOL_PREPARATION, P.LLM_INTERACTION}) | _ENDS,
    P.TOOL_PREPARATION: frozenset({P.TOOL_EXECUTION, P.LLM_INTERACTION}) | _ENDS,
    P.LLM_INTERACTION: frozenset(
        {P.THINKING, P.TOOL_EXECUTION, P.RESULT_PROCESSING, P.CIRCUIT_BREAKER_OPEN}
    )
    | _ENDS,
    P.TOOL_EXECUTION: frozenset({P.THINKING, P.LLM_INTERACTION, P.RESULT_PROCESSING})
    | _ENDS,
    P.RESULT_PROCESSING: frozenset({P.COMPLETING, P.THINKING}) | _ENDS,
    P.COMPLETING: frozenset({P.COMPLETED}) | _ENDS,
    P.COMPLETED: frozenset(),
    P.TIMEOUT: frozenset(),
    P.FAILED: frozenset(),
    P.CIRCUIT_BREAKER_OPEN: frozenset(),
}


class EventType(StrEnum):
    """What the numbered log of a stream may hold."""

    MESSAGE_CREATED = "message_created"
    AGENT_STARTED = "agent_started"
    ATTEMPT_STARTED = "attempt_started"
    AGENT_THINKING = "agent_thinking"
    TOOL_EXECUTING = "tool_executing"
    TOOL_COMPLETED = "tool_completed"
    APPROVAL_REQUESTED = "approval_requested"
    APPROVAL_DECIDED = "approval_decided"
    AGENT_COMPLETED = "agent_completed"
    AGENT_ERROR = "agent_error"
    AGENT_CANCELLED = "agent_cancelled"


TERMINAL_EVENTS: dict[ExecutionState, EventType] = {
    S.COMPLETED: EventType.AGENT_COMPLETED,
    S.FAILED: EventType.AGENT_ERROR,
    S.TIMEOUT: EventType.AGENT_ERROR,
    S.DEAD: EventType.AGENT_ERROR,
    S.CANCELLED: EventType.AGENT_CANCELLED,
}

# What a person reads; DECISIONS and the badge tag share it.
WORDS: dict[ExecutionState, str] = {
    S.PENDING: "Waiting to start",
    S.STARTING: "Starting",
    S.RUNNING: "Working",
    S.COMPLETING: "Finishing",
    S.COMPLETED: "Done",
    S.FAILED: "Something went wrong",
    S.TIMEOUT: "Took too long",
    S.DEAD: "Lost contact",
    S.CANCELLED: "Stopped",
}


def checked_state(value: object) -> ExecutionState:
    """`value` itself when it is the enum; refuses everything else and names it.

    Raises ValueError for a dict (a caller passed a whole record) and TypeError for any other
    type, strings included: a state is never spelled by hand.
    """
    if isinstance(value, ExecutionState):
        return value
    known = ", ".join(state.value for state in ExecutionState)
    if isinstance(value, dict):
        raise ValueError(  # noqa: TRY004 - callers tell a whole record from a wrong type
            f"a state must be an ExecutionState, not the dict {value!r} (the fault that users knew"
            f" as #305: a whole record passed for a state); states are: {known}"
        )
    raise TypeError(
        f"a state must be an ExecutionState, not {value!r}; states are: {known}"
    )


def allows(source: ExecutionState, target: ExecutionState) -> bool:
    return checked_state(target) in TRANSITIONS[checked_state(source)]


def allows_phase(source: Phase | None, target: Phase) -> bool:
    return target in PHASES[source]
