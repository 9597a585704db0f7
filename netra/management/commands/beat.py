"""`manage.py beat`: asks the workers every two seconds to sweep. One for an installation is enough."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError


class Command(BaseCommand):
    """Send scheduled tasks."""

    help = "Send scheduled tasks to the workers. Every process also sweeps by itself."
    requires_system_checks = "__all__"

    def handle(self, *_: Any, **__: Any) -> None:
        if not settings.NETRA_REDIS_URL:
            raise CommandError("NETRA_REDIS_URL is not set, so there are no workers.")
        from netra.celery import app  # noqa: PLC0415 - Celery is loaded only here

        # The plain scheduler: there is nothing to remember between two starts.
        app.Beat(
            scheduler="celery.beat:Scheduler", quiet=True, loglevel="WARNING"
        ).run()
