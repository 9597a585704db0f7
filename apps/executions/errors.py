"""What executions refuse."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from apps.core.errors import ConflictError, NetraError


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """The move that was not made, as the one who wanted it saw the execution."""

    execution_id: UUID
    organisation_id: UUID
    from_state: str
    to_state: str
    fence: int
    attempt: int
    why: str  # "illegal" or "fenced"


class IllegalTransitionError(ConflictError):
    """This state may not follow the present one."""

    code = "illegal_transition"
    fix = "Look at the execution again; it has moved."
    refused: Refused | None = None


class IllegalPhaseError(NetraError):
    """This phase may not follow the present one."""

    code = "illegal_phase"


class LeaseLostError(NetraError):
    """The right to write about this execution was lost; whoever holds it now goes on."""

    code = "lease_lost"
    refused: Refused | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalRequest:
    """The call that must not be made before a person agreed. `call_id` is new for each question."""

    call_id: str
    tool: str
    arguments: Mapping[str, object]
    reason: str


class ApprovalNeededError(NetraError):
    """A person must agree before the work goes on."""

    code = "approval_needed"

    def __init__(self, request: ApprovalRequest) -> None:
        super().__init__()
        self.request = request


class StepUnknownError(NetraError):
    """A step was begun and cut off; it may or may not have happened."""

    code = "step_unknown"
    fix = "Look where its effect would show; then ask again for what is missing."


class AlreadyDecidedError(ConflictError):
    """This was answered before, or nobody waits for the answer any more."""

    code = "already_decided"
    fix = "Nothing is left to do; the first answer counts."


class InvalidContextError(ValueError):
    """A user execution context is not real: an id is missing, malformed or a placeholder."""


class ContextIsolationError(InvalidContextError):
    """A context carries something that belongs to another user."""
