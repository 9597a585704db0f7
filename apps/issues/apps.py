"""App configuration of issues."""

from __future__ import annotations

from django.apps import AppConfig

from apps.core import sweeps


class IssuesConfig(AppConfig):
    """Groups what went wrong."""

    name = "apps.issues"
    label = "issues"

    def ready(self) -> None:
        from apps.issues import receivers, sweeper  # noqa: F401, PLC0415 - connects bells

        sweeps.register("issues.group_missed", sweeper.sweep, every=30)
