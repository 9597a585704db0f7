"""Waits at the start for a PostgreSQL that is not there yet, for a bounded time.

Asks over a connection of its own: a pool that failed once takes its time before it looks again.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator

from django.conf import settings
from django.core.management.base import CommandError
from django.db import OperationalError, connection

from apps.core import roles

FIRST_PAUSE, LONGEST_PAUSE = 1.0, 5.0
PATIENCE = 60.0  # seconds of looking, in all
# What a server that is there says while it is not to be had yet. Its other refusals
# (a wrong password, an unknown database) do not pass by waiting.
PASSING = ("starting up", "shutting down", "recovery", "too many", "remaining")


class PrivilegedRoleError(CommandError):
    """The application would run with rights that only migrations need."""


def look() -> OperationalError | None:
    """Why the database cannot be had yet; None when it answers. Raises what waiting cannot cure."""
    if settings.SQLITE:
        return None
    parameters = connection.get_connection_params()
    try:
        with connection.wrap_database_errors:
            connection.Database.connect(**parameters).close()  # type: ignore[attr-defined]  # psycopg
    except OperationalError as error:
        if not passes(error):
            raise
        return error
    return None


def passes(error: OperationalError) -> bool:
    """Whether waiting may help: nobody answers, or somebody who is not ready yet."""
    said = str(error)
    return "FATAL" not in said or any(words in said for words in PASSING)


def pauses(error: OperationalError) -> Iterator[float]:
    """How long to wait before each further look; raises `error` when patience is at its end."""
    give_up = time.monotonic() + PATIENCE
    pause = FIRST_PAUSE
    while time.monotonic() + pause < give_up:
        yield pause
        pause = min(LONGEST_PAUSE, pause + 1)
    raise error


def waiting(error: OperationalError) -> str:
    """What to tell, once, while it is waited for."""
    said = str(error).strip().splitlines()[0]
    return f"PostgreSQL does not answer yet ({said}). Waiting up to {PATIENCE:.0f} s for it."


def wait_for_database(tell: Callable[[str], object]) -> None:
    """Return when the database answers. Raises OperationalError after PATIENCE."""
    error = look()
    if error is None:
        return
    tell(waiting(error))
    for pause in pauses(error):
        time.sleep(pause)
        if look() is None:
            return


def require_plain_role(tell: Callable[[str], object]) -> None:
    """Refuse in production, and say elsewhere, that row-level security would not hold this role."""
    if settings.SQLITE:
        return
    faults = roles.standing(connection).faults
    if not faults:
        return
    said = (
        f"The database role {connection.settings_dict['USER']!r} {' and '.join(faults)}: "
        "row-level security does not hold it. Run: python manage.py db_roles"
    )
    if settings.PRODUCTION:
        raise PrivilegedRoleError(said)
    tell(said)


async def database_came(error: OperationalError) -> None:
    """The same on an event loop, after a first look that found `error`."""
    for pause in pauses(error):
        await asyncio.sleep(pause)
        if await asyncio.to_thread(look) is None:
            return
