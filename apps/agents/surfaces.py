"""The doors of agents to an organisation's figures, for isolation audits: each tool, asked by a stranger."""

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
