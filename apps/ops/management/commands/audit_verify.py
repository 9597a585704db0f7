"""`manage.py audit_verify`: walks the sealed trail and names what does not hold, with the entry's number."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from collections import Counter
from pathlib import Path
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError

from apps.accounts.models import Organisation
from apps.audits import checkpoints, verification
from apps.audits.trail import PLATFORM
from apps.audits.verification import Damage, Tally
from apps.core.errors import InvalidInputError

BAD_INPUT = 2
WIDTH = 30  # characters of the bar


class Command(BaseCommand):
    """Looks whether any entry of the trail was altered, removed, inserted or moved."""

    help = (
        "Verifies the sealed trail of every organisation and of the platform: each entry's seal and "
        "place, the signed checkpoints in the database and in files, and the executions whose ends "
        "were sealed. Exit code 0: all holds; 1: damage was found; 2: bad input."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--organisation",
            metavar="SLUG",
            help="only its chain; 'platform' for the platform's own",
        )
        parser.add_argument(
            "--since",
            metavar="N",
            type=int,
            default=1,
            help="begin with entry N of each chain",
        )
        parser.add_argument(
            "--checkpoints", metavar="FOLDER", type=Path,
            help="files of checkpoints to compare with; by default the installation's own",
        )  # fmt: skip

    def handle(self, *_: Any, **options: Any) -> None:
        if options["since"] < 1:
            raise CommandError(
                "--since takes a number from 1 on.", returncode=BAD_INPUT
            )
        files = _files(options["checkpoints"])
        wanted = _chains(options["organisation"], list(files))
        self._names = dict(Organisation.objects.values_list("pk", "slug"))
        self._all = verification.size(wanted, options["since"])
        self._done, self._damaged, total = 0, 0, Tally()
        for chain_id in wanted:
            tally = verification.verify(
                chain_id,
                file=files.get(chain_id),
                since=options["since"],
                tell=self._tell,
                watch=self._watch,
            )
            self._done += tally.entries
            total.entries += tally.entries
            total.checkpoints += tally.checkpoints
            total.proofs += tally.proofs
        self._sum_up(len(wanted), total)
        if self._damaged:
            sys.exit(1)

    def _tell(self, damage: Damage) -> None:
        self._damaged += 1
        self._clear()
        place = self._name(damage.chain_id)
        self.stdout.write(f"{place}, entry {damage.seq}: {damage.kind}: {damage.says}.")

    def _name(self, chain_id: UUID) -> str:
        return (
            "platform"
            if chain_id == PLATFORM
            else self._names.get(chain_id, str(chain_id))
        )

    def _watch(self, entries: int) -> None:
        """A bar, on a terminal."""
        if not self.stderr.isatty() or not self._all:
            return
        done = min(self._done + entries, self._all)
        bar = "#" * (WIDTH * done // self._all)
        self.stderr.write(f"\r[{bar:<{WIDTH}}] {done:,} of {self._all:,}", ending="")

    def _clear(self) -> None:
        if self.stderr.isatty():
            self.stderr.write("\r" + " " * (WIDTH + 40) + "\r", ending="")

    def _sum_up(self, chains: int, total: Tally) -> None:
        self._clear()
        self.stderr.write(
            f"{total.entries:,} entries in {chains:,} chains, {total.checkpoints:,} checkpoints."
        )
        if total.proofs:
            self.stderr.write(f"Executions: {_listed(total.proofs)}.")
        if self._damaged:
            self.stderr.write(f"{self._damaged} places do not hold.")
        else:
            self.stderr.write("Everything holds.")


def _listed(counts: Counter[str]) -> str:
    return ", ".join(f"{n:,} {name}" for name, n in sorted(counts.items()))


def _files(given: Path | None) -> dict[UUID, Path]:
    place = given or checkpoints.folder()
    if not place.is_dir():
        if given is None:
            return {}
        raise CommandError(f"There is no folder {str(given)!r}.", returncode=BAD_INPUT)
    try:
        return verification.files(place)
    except ValueError as error:
        raise CommandError(
            f"{str(place)!r} holds a file that is not named after a chain: {error}.",
            returncode=BAD_INPUT,
        ) from error


def _chains(slug: str | None, filed: list[UUID]) -> list[UUID]:
    if slug is None:
        return verification.chains(filed)
    try:
        return [chain_of(slug)]
    except InvalidInputError as error:
        raise CommandError(error.message, returncode=BAD_INPUT) from error


def chain_of(slug: str) -> UUID:
    """The chain of an organisation, or the platform's. Raises InvalidInputError for neither."""
    found = Organisation.objects.filter(slug=slug).values_list("pk", flat=True).first()
    if found is not None:
        return found
    if slug == "platform":
        return PLATFORM
    raise InvalidInputError(f"There is no organisation {slug!r}.", field="organisation")
