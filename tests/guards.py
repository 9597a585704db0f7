"""Lifts the database's own guards of the trail, for tests that tamper with it and for the emptying of tables.

The product has no such way.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection, transaction

GUARDED = ("audits_entry", "audits_checkpoint")
KEPT = (*GUARDED, "audits_head")


def triggers() -> dict[str, str]:
    """The guards that are there: name → how SQLite made it (empty on PostgreSQL)."""
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            cursor.execute(
                "SELECT name, sql FROM sqlite_master WHERE type = 'trigger' AND tbl_name IN (%s, %s, %s)",
                KEPT,
            )
        else:
            cursor.execute(
                "SELECT tgname, '' FROM pg_trigger WHERE NOT tgisinternal AND tgenabled <> 'D' "
                "AND tgrelid IN (to_regclass(%s), to_regclass(%s), to_regclass(%s))",
                KEPT,
            )
        return dict(cursor.fetchall())


@contextmanager
def as_owner() -> Iterator[None]:
    """Run a block in a transaction as whoever owns the tables, and not as the application."""
    with transaction.atomic(), connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            yield
            return
        cursor.execute("SELECT current_user")
        (role,) = cursor.fetchone()
        cursor.execute("SET LOCAL ROLE NONE")
        yield
        cursor.execute(f'SET LOCAL ROLE "{role}"')


@contextmanager
def lifted() -> Iterator[None]:
    """Run a block in which sealed rows can be changed, as their owner might."""
    with as_owner(), connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SET LOCAL session_replication_role = replica")
            yield
            cursor.execute("SET LOCAL session_replication_role = origin")
            return
        there = triggers()
        for name in there:
            cursor.execute(f'DROP TRIGGER "{name}"')
        yield
        for statement in there.values():
            cursor.execute(statement)


def lift_while_emptying(patch) -> None:
    """Let TransactionTestCase empty SQLite's tables between tests; on PostgreSQL `roles` does."""
    if connection.vendor != "sqlite":
        return
    operations = type(connection.ops)
    empty = operations.execute_sql_flush

    def flush(self, statements):
        with lifted():
            empty(self, statements)

    patch.setattr(operations, "execute_sql_flush", flush)
