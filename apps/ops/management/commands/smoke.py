"""`manage.py smoke URL`: walks the golden path against a running installation."""

from __future__ import annotations

import os
import sys
from argparse import ArgumentParser
from typing import Any
from urllib.parse import urlsplit

from django.core.management.base import BaseCommand, CommandError

from apps.ops.smoke import walk

USAGE = 2


class Command(BaseCommand):
    """One line for each step: ✓ or ✗, and why."""

    help = "Walk the golden path against a running installation, with a token; exit 1 on failure."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("url", help="for example http://127.0.0.1:8000")
        parser.add_argument(
            "--token", help="a bearer token (manage.py token); default: NETRA_TOKEN"
        )

    def handle(self, *_: Any, url: str, token: str | None, **__: Any) -> None:
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise CommandError(
                f"{url!r} is no address; it must be http(s)://host[:port].",
                returncode=USAGE,
            )
        token = token or os.environ.get("NETRA_TOKEN", "").strip()
        if not token:
            raise CommandError(
                "A token is needed: --token, or NETRA_TOKEN. Make one with manage.py token EMAIL.",
                returncode=USAGE,
            )
        for name, held, told in walk(url, token):
            self.stdout.write(f"{'✓' if held else '✗'} {name}: {told}")
            self.stdout.flush()
            if not held:
                sys.exit(1)
