"""The system's tracker: figures over everybody's executions, for the admin and for monitoring.

It answers only while a system scope is open, and moves nothing. One person's view: see `tracker`.
"""

from __future__ import annotations

from apps.core.actors import Actor
from apps.core.clock import clock
from apps.core.database import write_now
from apps.core.tenancy import NoScopeError, Scope, ScopeKind, current_scope
from apps.executions import breakers, reports
from apps.executions.errors import InvalidContextError
from apps.executions.reports import BreakerStatus, Figures

_factory_key = object()


class SystemTracker:
    """Counts of all organisations. Comes from `get_execution_tracker` only."""

    def __init__(self, key: object = None) -> None:
        if key is not _factory_key:
            raise RuntimeError(
                "SystemTracker is private: use the factory get_execution_tracker()"
            )

    def get_metrics(self) -> Figures:
        """How many executions stand where, and how many of those that ended went well."""
        system_scope()
        return reports.figures()

    def circuit_breaker_status(self, key: str) -> BreakerStatus:
        system_scope()
        return reports.breaker_of(key, clock.now())

    def reset_circuit_breaker(self, key: str, *, actor: Actor, reason: str) -> bool:
        """Let calls pass again; False when they did already."""
        return write_now(
            system_scope(),
            lambda: breakers.close_now(key, actor=actor, reason=reason),
        )


def system_scope() -> Scope:
    """The open system scope; refuses every other, and none."""
    try:
        scope = current_scope()
    except NoScopeError:
        scope = None
    if scope is None or scope.kind is not ScopeKind.SYSTEM:
        raise InvalidContextError(
            "without a user there is only the system's tracker, and that needs an open system scope;"
            " pass a UserExecutionContext for a person's"
        )
    return scope


overview = SystemTracker(_factory_key)
