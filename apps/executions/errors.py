"""What executions refuse."""

from __future__ import annotations

from apps.core.errors import ConflictError, NetraError


class IllegalTransitionError(ConflictError):
    """This state may not follow the present one."""

    code = "illegal_transition"
    fix = "Look at the execution again; it has moved."


class IllegalPhaseError(NetraError):
    """This phase may not follow the present one."""

    code = "illegal_phase"


class LeaseLostError(NetraError):
    """The right to write about this execution was lost; whoever holds it now goes on."""

    code = "lease_lost"


class InvalidContextError(ValueError):
    """A user execution context is not real: an id is missing, malformed or a placeholder."""


class ContextIsolationError(InvalidContextError):
    """A context carries something that belongs to another user."""
