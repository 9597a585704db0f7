"""App configuration of usage."""

from __future__ import annotations

from django.apps import AppConfig


class UsageConfig(AppConfig):
    """Counts what AI costs."""

    name = "apps.usage"
    label = "usage"

    def ready(self) -> None:
        from apps.usage import receivers  # noqa: F401, PLC0415 - connects the projector
