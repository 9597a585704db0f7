"""The doors of agents, for isolation audits. Tools are not declared yet: they take no id from outside."""

from __future__ import annotations

from apps.core.surfaces import Deed, Route, Rows, register


def declare() -> None:
    """Called once, when the app is ready."""
    register(
        Rows(label="agents.Agent"),
        Route(
            verb="GET",
            path="/api/v1/agents/",
            deed=Deed.LIST,
            personal=False,
            shows=False,
        ),
    )
