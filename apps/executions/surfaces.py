"""The doors of executions to what runs and ran for an organisation, for isolation audits."""

from __future__ import annotations

from collections.abc import Mapping
from uuid import UUID

from apps.core.surfaces import (
    Call,
    Deed,
    Kind,
    Route,
    Rows,
    Somebody,
    exempt,
    register,
)
from apps.executions import access, queries

EXECUTIONS = "/api/v1/executions"


def declare() -> None:
    """Called once, when the app is ready. Chat plants the execution: it has no door of its own."""
    register(
        *(Rows(label=f"executions.{name}") for name in _OWN),
        Rows(
            label="executions.Breaker",
            shared="providers of models belong to no organisation",
        ),
        Route(
            verb="GET", path=f"{EXECUTIONS}/", deed=Deed.LIST, shows_id="execution_id"
        ),
        Route(
            verb="GET",
            path=f"{EXECUTIONS}/{{execution_id}}/",
            shows_id="execution_id",
        ),
        Route(verb="GET", path=f"{EXECUTIONS}/{{execution_id}}/events/"),
        Route(
            verb="POST",
            path=f"{EXECUTIONS}/{{execution_id}}/cancel/",
            deed=Deed.CHANGE,
            control=None,
        ),
        Route(
            verb="POST",
            path=f"{EXECUTIONS}/{{execution_id}}/retry/",
            deed=Deed.CHANGE,
            control=None,
        ),
        Call(
            kind=Kind.ACCESS,
            name="executions.execution_for",
            run=_execution,
            needs="execution_id",
            shows=False,  # structure alone: who may not gets the answer for what is not there
        ),
        Call(
            kind=Kind.ACCESS,
            name="executions.events_after",
            run=_events,
            needs="thread_id",
            personal=False,  # whoever calls it asked chat.thread_for before
        ),
    )
    exempt(
        Kind.TASK,
        "executions.sweep",
        "executions.run",
        why="take no id from outside: each claims by lease what the rows say",
    )


_OWN = (
    "Stream",
    "Execution",
    "Content",
    "Attempt",
    "Transition",
    "PhaseEntry",
    "Event",
    "RefusedMove",
    "Step",
    "Approval",
)


def _execution(who: Somebody, ids: Mapping[str, str]) -> object:
    return access.execution_for(who.user_id, UUID(ids["execution_id"])).cancel_reason


def _events(who: Somebody, ids: Mapping[str, str]) -> object:  # noqa: ARG001 - its scope says who
    return queries.events_after(UUID(ids["thread_id"]), 0)
