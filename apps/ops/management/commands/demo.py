"""`manage.py demo`: seeds the demo. A short second writer; it runs no agent."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import OperationalError, ProgrammingError
from django.utils import timezone

from apps.core.errors import NetraError


class Command(BaseCommand):
    """Seeds what of the demo is missing, and shows how to sign in."""

    help = "Seeds the demo: organisations, people, agents, 90 days of usage, executions in every state."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--show", action="store_true", help="also print the logins")

    def handle(self, *_: Any, **options: Any) -> None:
        if settings.PRODUCTION:
            raise CommandError(
                "The demo is refused where NETRA_PUBLIC_URL is a public address: it makes people "
                "who can log in. For a real installation use manage.py setup_admin."
            )
        from apps.ops.demo import report  # noqa: PLC0415 - slow to load, and not needed to refuse
        from apps.ops.demo.seed import seed  # noqa: PLC0415 - see above

        try:
            made = seed(timezone.now())
        except NetraError as error:
            raise CommandError(f"{error.message} {error.fix}") from error
        except (OperationalError, ProgrammingError) as error:
            raise CommandError(
                f"The database is not ready ({error}). Is it there, and migrated? Run manage.py migrate."
            ) from error
        self.stdout.write(report.summary(made))
        if options["show"]:
            self.stdout.write(report.logins())
