"""App configuration of executions."""

from __future__ import annotations

from django.apps import AppConfig

from apps.core import sweeps


class ExecutionsConfig(AppConfig):
    """Runs and remembers."""

    name = "apps.executions"
    label = "executions"

    def ready(self) -> None:
        from apps.audits import witnesses  # noqa: PLC0415 - they need the app registry
        from apps.audits.acts import Act  # noqa: PLC0415
        from apps.executions import (  # noqa: PLC0415
            checks,  # noqa: F401
            receivers,  # noqa: F401
            recovery,
            retention,
            sealing,
            tracker,
        )

        witnesses.register(Act.EXECUTION_ENDED, sealing.prove)

        sweeps.register(
            "executions.recovery", recovery.sweep, every=recovery.SWEEP_SECONDS
        )
        sweeps.register(
            "executions.retention", retention.sweep, every=retention.SLICE_EVERY
        )
        sweeps.register(
            "executions.views", tracker.drop_void_views, every=tracker.SWEEP_SECONDS
        )
