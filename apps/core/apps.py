"""App configuration of core."""

from __future__ import annotations

from django.apps import AppConfig
from django.conf import settings


class CoreConfig(AppConfig):
    """Ground of the column."""

    name = "apps.core"
    label = "core"

    def ready(self) -> None:
        from apps.core import (  # noqa: PLC0415
            checks,  # noqa: F401 - registers the system checks
            clock,
            faults,
            flags,
            sweeps,
        )

        faults.arm(settings.NETRA_FAULT)
        sweeps.register("core.clock", clock.follow, every=clock.FOLLOW_SECONDS)
        sweeps.register("core.flags", flags.refresh, every=flags.REFRESH_SECONDS)
