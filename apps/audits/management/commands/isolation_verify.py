"""`manage.py isolation_verify`: checks a bundle offline. No database, no keys of this installation."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand

from apps.audits.isolation.verifying import main


class Command(BaseCommand):
    """Says whether a bundle is whole, and who signed it."""

    help = (
        "Verifies an isolation audit's bundle. Exit code 0: whole; 1: it does not hold; 2: it cannot "
        "be read."
    )
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path)
        parser.add_argument("--public-key", default="", metavar="BASE64")

    def handle(self, *_: Any, **options: Any) -> None:
        given = [str(options["file"])]
        if options["public_key"]:
            given += ["--public-key", options["public_key"]]
        sys.exit(main(given))
