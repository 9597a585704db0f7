"""`manage.py worker`: runs agents for the servers, where Redis connects them."""

from __future__ import annotations

import sys
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from netra import arrival


class Command(BaseCommand):
    """Run agents."""

    help = "Run agents. Needs NETRA_REDIS_URL; without it the servers run them."
    requires_system_checks = "__all__"

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--concurrency",
            type=int,
            default=200,
            help="Executions at once in this process.",
        )

    def handle(self, *_: Any, **options: Any) -> None:
        if not settings.NETRA_REDIS_URL:
            raise CommandError(
                "NETRA_REDIS_URL is not set, so the servers run the agents themselves."
            )
        if options["concurrency"] < 1:
            raise CommandError("--concurrency must be at least 1.")
        from netra.worker import work  # noqa: PLC0415 - Celery is loaded only here

        try:
            arrival.wait_for_database(self.stderr.write)
        except KeyboardInterrupt:
            sys.exit(130)
        arrival.require_plain_role(self.stderr.write)
        self.stderr.write(
            f"Netra runs up to {options['concurrency']} agents at once. Stop it with Ctrl+C."
        )
        sys.exit(work(options["concurrency"]))
