"""`manage.py audit_export`: one organisation's sealed trail as lines of JSON, to be checked elsewhere."""

from __future__ import annotations

import os
import sys
from argparse import ArgumentParser
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import IO, Any

from django.core.management.base import BaseCommand, CommandError

from apps.audits import export
from apps.core.actors import Actor
from apps.core.errors import InvalidInputError, NotFoundError
from apps.ops.management.commands.audit_verify import chain_of

BAD_INPUT = 2


class Command(BaseCommand):
    """Writes entries, checkpoints and public keys."""

    help = (
        "Exports an organisation's sealed trail. clients/verify_trail.py checks the result without "
        "access to this installation. The export itself becomes an entry."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--organisation",
            metavar="SLUG",
            required=True,
            help="'platform' for the platform's own",
        )
        parser.add_argument(
            "--since", metavar="DATE", help="from this day on (UTC), as 2026-11-21"
        )
        parser.add_argument("--until", metavar="DATE", help="before this day (UTC)")
        parser.add_argument(
            "--out", metavar="FILE", type=Path, help="a new file; else standard output"
        )

    def handle(self, *_: Any, **options: Any) -> None:
        slug = options["organisation"]
        try:
            part = export.begin(
                actor=Actor.system("audit_export"),
                chain_id=chain_of(slug),
                since=_day("--since", options["since"]),
                until=_day("--until", options["until"]),
            )
        except (InvalidInputError, NotFoundError) as error:
            raise CommandError(error.message, returncode=BAD_INPUT) from error
        with _opened(options["out"]) as file:
            for line in export.lines(part, organisation=slug):
                file.write(line)
        self.stderr.write(f"Entries {part.first:,} to {part.last:,} of {slug}.")


def _day(name: str, told: str | None) -> datetime | None:
    if told is None:
        return None
    try:
        return datetime.combine(date.fromisoformat(told), time(), UTC)
    except ValueError:
        raise CommandError(
            f"{name} takes a day such as 2026-11-21, not {told!r}.",
            returncode=BAD_INPUT,
        ) from None


@contextmanager
def _opened(place: Path | None) -> Iterator[IO[str]]:
    if place is None:
        yield sys.stdout
        return
    try:
        descriptor = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise CommandError(
            f"{str(place)!r} cannot be made: {error.strerror}.", returncode=BAD_INPUT
        ) from error
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        yield file
