"""On PostgreSQL the tests run as the application does: as a role that owns nothing.

The owner makes the database, empties it between tests, and is asked for where a test says so.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from django.db import connection
from django.db.backends.base.base import BaseDatabaseWrapper

from apps.core.roles import Grants
from netra.management.commands.db_roles import APPEND_ONLY

ROLE = "netra_tests"
AS_ROLE = f" -c role={ROLE}"
# Roles belong to all databases of a server, so one process at a time; a lock belongs to one database.
LOCK, COMMON = 0x6E657472, "postgres"


def step_down(database: BaseDatabaseWrapper) -> None:
    """From now on whatever connects to this database acts as the application's role."""
    with connected(to=COMMON) as common, connected() as raw:
        common.execute("SELECT pg_advisory_lock(%s)", [LOCK])
        grants = Grants(
            database=raw.info.dbname,
            owner=raw.info.user,
            app=ROLE,
            append_only=APPEND_ONLY,
        )
        for statement in grants.statements(password=ROLE):
            raw.execute(statement)  # type: ignore[call-overload]  # made by us
    leave(database)
    database.settings_dict["OPTIONS"]["options"] += AS_ROLE


def step_up(database: BaseDatabaseWrapper) -> None:
    """Back to the owner, who takes the database away."""
    leave(database)
    settings = database.settings_dict
    settings["OPTIONS"] = owners(settings["OPTIONS"])


def owners(options: dict[str, Any]) -> dict[str, Any]:
    """The options of a connection, for its owner again."""
    if "options" not in options:  # SQLite's
        return options
    return options | {"options": options["options"].removesuffix(AS_ROLE)}


def leave(database: BaseDatabaseWrapper) -> None:
    """Whoever connects next does so anew."""
    database.close()
    if database.settings_dict["OPTIONS"].get("pool"):
        database.close_pool()  # type: ignore[attr-defined]  # PostgreSQL's


@contextmanager
def connected(
    *, as_application: bool = False, to: str = ""
) -> Iterator[psycopg.Connection]:
    """A connection of our own, the owner's by default; each statement is committed."""
    settings = connection.settings_dict
    with psycopg.connect(
        dbname=to or settings["NAME"],
        user=ROLE if as_application else settings["USER"] or None,
        password=ROLE if as_application else settings["PASSWORD"] or None,
        host=settings["HOST"] or None,
        port=settings["PORT"] or None,
        autocommit=True,
        connect_timeout=5,
    ) as raw:
        yield raw


@contextmanager
def as_owner() -> Iterator[None]:
    """This thread's connection has the owner's rights; on SQLite everybody has."""
    if connection.vendor != "postgresql":
        yield
        return
    with connection.cursor() as cursor:
        cursor.execute("SET ROLE NONE")
        try:
            yield
        finally:
            cursor.execute(f"SET ROLE {ROLE}")


def empty(statements: list[str]) -> None:
    """What Django's flush does, as the owner: the application may not, nor what is append-only."""
    with connected() as raw:
        # Triggers that keep rows for ever are for everybody but this.
        raw.execute("SET session_replication_role = replica")
        for statement in statements:
            raw.execute(statement)  # type: ignore[arg-type]  # Django's
