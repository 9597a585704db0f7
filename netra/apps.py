"""App configuration of the wiring itself, for its commands."""

from __future__ import annotations

from django.apps import AppConfig
from django.conf import settings


class NetraConfig(AppConfig):
    """The wiring."""

    name = "netra"
    label = "netra"

    def ready(self) -> None:
        if settings.NETRA_REDIS_URL:
            from apps.executions.dispatch import dispatcher  # noqa: PLC0415 - see below
            from netra.celery import Publisher  # noqa: PLC0415 - only with workers

            dispatcher.publish = Publisher()
