"""`manage.py backup FILE`: a checked copy of the database, while Netra goes on.

The copy equals the database at one moment. Whoever puts it back in its place runs
`manage.py restored` before the server, so that clients do not go on from what is gone.
"""

from __future__ import annotations

import shlex
import time
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import Error, connection

from apps.core.sqlite import upkeep
from apps.core.transactions import explained


class Command(BaseCommand):
    """Copy the SQLite database into a file; on PostgreSQL, say how its own tool does it."""

    help = (
        "Copy the database into FILE and check the copy. Works while the server runs."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", metavar="FILE", type=Path)
        parser.add_argument(
            "--force", action="store_true", help="replace FILE where it exists"
        )

    def handle(self, *args: Any, file: Path, force: bool, **options: Any) -> None:
        if connection.vendor != "sqlite":
            raise CommandError(
                "PostgreSQL makes its own backups; this copies SQLite only. Run:\n  "
                + _pg_dump(file)
            )
        _refuse_wrong_place(file, force=force)
        began = time.monotonic()
        try:
            upkeep.copy_into(connection, file)
        except Error as error:
            told = explained(error)
            raise CommandError(f"{told.message} {told.fix} ({error})") from error
        except (OSError, upkeep.DamagedCopyError) as error:
            raise CommandError(f"The backup failed: {error}") from error
        seconds = time.monotonic() - began
        self.stdout.write(
            f"{file}: {file.stat().st_size:,} bytes in {seconds:.1f} s, checked."
        )
        self.stdout.write(
            f"The keys in {settings.NETRA_KEYS} are not included: without them nobody reads "
            "what is encrypted, and no signature can be made. Keep a copy of that folder, "
            "somewhere else than this file."
        )


def _refuse_wrong_place(file: Path, *, force: bool) -> None:
    if not file.parent.is_dir():
        raise CommandError(f"There is no folder {file.parent}.")
    if file.is_dir():
        raise CommandError(f"{file} is a folder; name a file in it.")
    database = Path(connection.settings_dict["NAME"])
    if database.exists() and file.exists() and file.samefile(database):
        raise CommandError(f"{file} is the database itself.")
    if file.exists() and not force:
        raise CommandError(f"{file} exists already; --force replaces it.")


def _pg_dump(file: Path) -> str:
    """The command to run, without the password: it asks, or finds it where it always does."""
    given = connection.settings_dict
    words = ["pg_dump", "--format=custom", f"--file={file}"]
    for option, name in (("host", "HOST"), ("port", "PORT"), ("username", "USER")):
        if given.get(name):
            words.append(f"--{option}={given[name]}")
    return shlex.join([*words, str(given["NAME"])])
