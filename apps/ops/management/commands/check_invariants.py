"""`manage.py check_invariants`: what must hold of all rows; one line for each violation."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from collections import Counter
from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from apps.accounts.models import Organisation
from apps.core.clock import clock
from apps.ops.invariants import violations
from apps.ops.spans import STRETCH, Part, Violation

LISTED = 100  # of each invariant; the rest is counted


class Command(BaseCommand):
    """Looks whether anything was lost, doubled, left behind or mixed up."""

    help = (
        "Checks the invariants over the database: logs without gaps, legal histories, one end, "
        "one claim at a time, nothing past its deadline, one execution for each question. "
        "Exit code 1 when something does not hold."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--organisation", metavar="SLUG", help="only its rows")
        parser.add_argument(
            "--since", metavar="DAYS", type=float, help="only what is as young as that"
        )

    def handle(self, *_: Any, **options: Any) -> None:
        now = clock.now()
        counts: Counter[str] = Counter()
        self._stretches: Counter[str] = Counter()
        for violation in violations(
            part=_part(options["organisation"], options["since"]),
            now=now,
            watch=self._watch,
        ):
            counts[violation.code] += 1
            self._tell(violation, counts[violation.code])
        for code, n in sorted(counts.items()):
            if n > LISTED:
                self.stdout.write(f"{code}: {n - LISTED} more")
        if counts:
            self.stderr.write(f"{counts.total()} violations.")
            sys.exit(1)
        self.stderr.write("Everything holds.")

    def _tell(self, violation: Violation, n: int) -> None:
        if n <= LISTED:
            self.stdout.write(str(violation))

    def _watch(self, name: str) -> None:
        """Say on a terminal how far it is."""
        self._stretches[name] += 1
        if self.stderr.isatty() and (n := self._stretches[name]) > 1:
            self.stderr.write(f"\r{name}: about {n * STRETCH:,} …", ending="")


def _part(slug: str | None, days: float | None) -> Part:
    if days is not None and days <= 0:
        raise CommandError("--since takes a number of days above 0.")
    since = None if days is None else clock.now() - timedelta(days=days)
    if slug is None:
        return Part(since=since)
    organisation = Organisation.objects.filter(slug=slug).first()
    if organisation is None:
        raise CommandError(f"There is no organisation {slug!r}.")
    return Part(organisation_id=organisation.pk, since=since)
