"""App configuration of ops."""

from __future__ import annotations

from typing import Any

from django.apps import AppConfig, apps
from django.db.models.signals import post_migrate

from apps.executions import runners


class OpsConfig(AppConfig):
    """The operations portal."""

    name = "apps.ops"
    label = "ops"

    def ready(self) -> None:
        runners.register("demo.exhibit", "apps.ops.demo.exhibits:hold")
        # After the last app of Django's own that has permissions, when all of them exist.
        post_migrate.connect(
            make_groups,
            sender=apps.get_app_config("sessions"),
            dispatch_uid="ops.groups",
        )


def make_groups(**sent: Any) -> None:
    """The roles of staff exist wherever the tables do."""
    from apps.ops.actions import ensure_groups  # noqa: PLC0415 - models load after apps

    try:
        sent["apps"].get_model("auth", "Permission")
    except LookupError:
        return  # only some apps were migrated, and auth is not among them
    ensure_groups()
