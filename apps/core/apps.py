"""App configuration of core."""

from __future__ import annotations

from django.apps import AppConfig


class CoreConfig(AppConfig):
    """Ground of the column."""

    name = "apps.core"
    label = "core"

    def ready(self) -> None:
        from apps.core import checks  # noqa: F401, PLC0415 - registers the system checks
