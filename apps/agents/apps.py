"""App configuration of agents."""

from __future__ import annotations

from django.apps import AppConfig

from apps.executions import runners


class AgentsConfig(AppConfig):
    """Thinks."""

    name = "apps.agents"
    label = "agents"

    def ready(self) -> None:
        runners.register("agents.turn", "apps.agents.turns:run_turn")
