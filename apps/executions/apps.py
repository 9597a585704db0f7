"""App configuration of executions."""

from __future__ import annotations

from django.apps import AppConfig

from apps.core import sweeps


class ExecutionsConfig(AppConfig):
    """Runs and remembers."""

    name = "apps.executions"
    label = "executions"

    def ready(self) -> None:
        from apps.executions import (  # noqa: PLC0415 - they need the app registry
            checks,  # noqa: F401
            receivers,  # noqa: F401
            recovery,
            retention,
            tracker,
        )

        sweeps.register(
            "executions.recovery", recovery.sweep, every=recovery.SWEEP_SECONDS
        )
        sweeps.register(
            "executions.retention", retention.sweep, every=retention.SLICE_EVERY
        )
        sweeps.register(
            "executions.views", tracker.drop_void_views, every=tracker.SWEEP_SECONDS
        )
