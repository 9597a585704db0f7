"""`manage.py prepare`: what is done before Netra serves, in one start of Python."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand

from netra import arrival


class Command(BaseCommand):
    """Bring the database and static files up to date and, in the demo, seed it."""

    help = (
        "Migrates the database; collects static files in production; seeds the demo where "
        "NETRA_DEMO=1. Idempotent."
    )

    def handle(self, *_: Any, **options: Any) -> None:
        arrival.wait_for_database(self.stderr.write)
        call_command("migrate", interactive=False, verbosity=0)
        if settings.NETRA_OWNER_DATABASE_URL:
            call_command("db_roles", apply=True, verbosity=0)
        if settings.PRODUCTION:
            call_command("collectstatic", interactive=False, verbosity=0)
        if settings.NETRA_DEMO:
            call_command("demo", show=True, stdout=self.stdout, stderr=self.stderr)
