"""Run the demo's OpenID Connect provider."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from apps.accounts.signin import provider


class Command(BaseCommand):
    """Serves until it is stopped."""

    help = "Run the demo's OpenID Connect provider on loopback (for NETRA_DEMO=1 and tests)."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        port = urlsplit(settings.NETRA_OIDC_URL).port or 9400
        parser.add_argument(
            "--port",
            type=int,
            default=port,
            help=f"default {port}, from NETRA_OIDC_URL",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if settings.PRODUCTION:
            raise CommandError(
                "The demo's provider lets anybody be anybody; it does not run in production."
            )
        self.stderr.write(
            f"Demo sign-in at http://{provider.HOST}:{options['port']} (stop with Ctrl+C)"
        )
        try:
            provider.serve(options["port"])
        except KeyboardInterrupt:
            return
