"""App configuration of audits."""

from __future__ import annotations

from django.apps import AppConfig

from apps.core import sweeps


class AuditsConfig(AppConfig):
    """What happened, and that tenants stayed apart."""

    name = "apps.audits"
    label = "audits"

    def ready(self) -> None:
        from apps.audits import checkpoints, retention  # noqa: PLC0415 - they need the app registry

        sweeps.register(
            "audits.checkpoints", checkpoints.sweep, every=checkpoints.SWEEP_SECONDS
        )
        sweeps.register(
            "audits.retention", retention.sweep, every=retention.SWEEP_SECONDS
        )
