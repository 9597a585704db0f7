"""App configuration of ops."""

from __future__ import annotations

from django.apps import AppConfig

from apps.executions import runners


class OpsConfig(AppConfig):
    """The operations portal."""

    name = "apps.ops"
    label = "ops"

    def ready(self) -> None:
        runners.register("demo.exhibit", "apps.ops.demo.exhibits:hold")
