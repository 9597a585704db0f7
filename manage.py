"""The command line of Netra. Errors of configuration become one sentence, not a trace."""

from __future__ import annotations

import os
import sys

from django.db import OperationalError

from apps.core import circumstances
from apps.core.circumstances import Circumstances
from apps.core.errors import NetraError
from netra.env import ConfigurationError

SERVING = {"serve", "runserver", "worker", "beat"}
# What SQLite and PostgreSQL say when the database is not there or may not be written.
UNREACHABLE = (
    "unable to open database",
    "readonly database",
    "connection failed",
    "connection refused",
    "couldn't get a connection",
    "could not translate host name",
)


def unreachable(error: OperationalError) -> str | None:
    """One sentence about a database that cannot be used; None for any other error."""
    said = " ".join(
        str(error.__cause__ or error).split()
    )  # a typed error tells people less
    if not any(words in said.lower() for words in UNREACHABLE):
        return None
    return (
        f"the database cannot be used: {said}. NETRA_DATABASE_URL must be sqlite:///path, in a "
        "folder that exists and may be written, or postgres://user@host/name of a running server."
    )


def _door(command: list[str]) -> Circumstances:
    """What the trail says of a command's acts; those that serve others have doors of their own."""
    if command and command[0] in SERVING:
        return circumstances.NONE
    return Circumstances(door="command")


def main() -> int:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "netra.settings")
    try:
        from django.core.management import execute_from_command_line  # noqa: PLC0415 - settings may refuse

        with circumstances.under(_door(sys.argv[1:2])):
            execute_from_command_line(sys.argv)
    except ConfigurationError as error:
        print(f"Netra cannot start: {error}", file=sys.stderr)
        return 2
    except OperationalError as error:
        sentence = unreachable(error)
        if sentence is not None:
            print(f"Netra cannot start: {sentence}", file=sys.stderr)
            return 2
        if isinstance(error, NetraError):  # busy, full, …
            print(f"{error.message} {error.fix}", file=sys.stderr)
            return 1
        raise
    return 0


if __name__ == "__main__":
    sys.exit(main())
