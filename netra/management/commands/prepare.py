"""`manage.py prepare`: what `make run` does before it serves, in one start of Python."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand


class Command(BaseCommand):
    """Bring the database up to date and, in the demo, seed it."""

    help = "Migrates the database and, where NETRA_DEMO=1, seeds the demo. Idempotent."

    def handle(self, *_: Any, **options: Any) -> None:
        call_command("migrate", interactive=False, verbosity=0)
        if settings.NETRA_DEMO:
            call_command("demo", show=True, stdout=self.stdout, stderr=self.stderr)
