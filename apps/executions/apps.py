"""App configuration of executions."""

from __future__ import annotations

from django.apps import AppConfig


class ExecutionsConfig(AppConfig):
    """Runs and remembers."""

    name = "apps.executions"
    label = "executions"

    def ready(self) -> None:
        from apps.executions import checks, receivers  # noqa: F401, PLC0415 - connects both
