"""Compiled statements for the hot tables: insert, compare-and-swap, count up, select.

Every statement names the organisation. Everything that is not hot uses the ORM.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any
from uuid import UUID

from django.db import connections, models, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.utils import timezone

from apps.core.columns import columns_of
from apps.core.tenancy import current_scope

Row = Mapping[str, object]
Lists = Mapping[str, Iterable[object]]
Conflict = tuple[tuple[str, ...], tuple[str, ...]]  # key, and what to set where it is
NOTHING = 2  # in the shape of a WHERE clause: an empty list, which no row meets


class ForeignRowError(RuntimeError):
    """Code tried to touch a row of another organisation than the scope it runs in."""


def insert(model: type[models.Model], rows: Sequence[Row]) -> None:
    """Insert `rows` (attribute name → value; what is missing takes the field's default)."""
    _insert(model, rows, conflict=None)


def _insert(
    model: type[models.Model], rows: Sequence[Row], *, conflict: Conflict | None
) -> None:
    if not rows:
        return
    database = connections["default"]
    columns = columns_of(model, database.vendor).values()
    values: list[Any] = []
    for row in rows:
        _check_scope(model, row)
        for column in columns:
            if column.name in row:
                values.append(column.parameter(row[column.name]))
            else:
                values.append(column.default_parameter())
    statement = _insert_statement(model, len(rows), conflict, database.vendor)
    _execute(database, statement, values)


def upsert(
    model: type[models.Model],
    rows: Sequence[Row],
    *,
    key: tuple[str, ...],
    values: tuple[str, ...],
) -> None:
    """Insert `rows` in one statement; where a row with the same `key` is there, set its `values`.

    `key` is what a unique constraint without a condition names; no two of `rows` may share it.
    """
    _insert(model, rows, conflict=(key, values))


def swap(
    model: type[models.Model], *, where: Row, values: Row, where_in: Lists | None = None
) -> bool:
    """UPDATE … WHERE all of `where`: True when exactly that row was still as expected."""
    _check_scope(model, where)
    database = connections["default"]
    columns = columns_of(model, database.vendor)
    tests, parameters = _tests(model, database.vendor, where, where_in)
    statement = _update_statement(model, tuple(values), tests, database.vendor)
    given = [columns[name].parameter(value) for name, value in values.items()]
    changed: int = _execute(database, statement, [*given, *parameters]).rowcount
    return changed == 1


def advance(
    model: type[models.Model], *, where: Row, column: str, by: int
) -> int | None:
    """Add `by` to a counter column and return its new value; None when there is no such row."""
    _check_scope(model, where)
    database = connections["default"]
    tests, parameters = _tests(model, database.vendor, where, None)
    statement = _advance_statement(model, column, tests, database.vendor)
    row = _execute(database, statement, [by, *parameters]).fetchone()
    return None if row is None else int(row[0])


def select(
    model: type[models.Model],
    names: tuple[str, ...],
    *,
    where: Row,
    where_in: Lists | None = None,
    order: str = "",
    limit: int | None = None,
    lock: bool = False,
) -> list[tuple[Any, ...]]:
    """The columns `names` of the rows that meet `where`; `order` is a column, '-' for newest first.

    `lock` keeps the rows from others until the transaction ends (SQLite has one writer anyway).
    """
    _check_scope(model, where)
    database = connections["default"]
    columns = columns_of(model, database.vendor)
    for name in names:
        if (check_open := columns[name].check_open) is not None:
            check_open()
    tests, parameters = _tests(model, database.vendor, where, where_in)
    statement = _select_statement(model, names, tests, order, limit, database.vendor)
    if lock and database.vendor == "postgresql":
        statement += " FOR UPDATE"
    rows = _execute(database, statement, parameters).fetchall()
    readers = [columns[name].value for name in names]
    return [
        tuple(read(stored) for read, stored in zip(readers, row, strict=True))
        for row in rows
    ]


def hold(name: str, organisation_id: UUID) -> None:
    """Until the transaction ends, keep others who hold the same waiting. SQLite has one writer anyway."""
    database = connections["default"]
    if database.vendor == "postgresql":
        key = f"{name}:{organisation_id}"
        _execute(
            database, "SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [key]
        )


def own_clock() -> bool:
    """Whether the database is a server with a clock that may differ from this machine's."""
    return connections["default"].vendor == "postgresql"


def database_time() -> datetime:
    """The database's clock; SQLite has this machine's."""
    if not own_clock():
        return timezone.now()
    database = connections["default"]
    row = _execute(database, "SELECT clock_timestamp()", []).fetchone()
    told: datetime = row[0]
    return told


def _check_scope(model: type[models.Model], row: Row) -> None:
    """Refuse a statement that names no organisation, or another than the open scope's."""
    if row.get("organisation_id") is None:
        raise ValueError(f"a statement on {model.__name__} must name its organisation")
    scope = current_scope()
    if scope.organisation_id not in {None, row["organisation_id"]}:
        raise ForeignRowError(
            f"a statement on {model.__name__} names another organisation than its scope"
        )


def _execute(
    database: BaseDatabaseWrapper, statement: str, parameters: list[Any]
) -> Any:
    """Run a statement; inside a SQLite transaction without Django's cursor layers.

    Those rewrite the placeholders of each statement anew. Logging and wrappers, where someone
    asked for them, still see everything.
    """
    plain = not (database.queries_logged or database.execute_wrappers)
    if database.vendor == "sqlite" and database.in_atomic_block and plain:
        if not database.connection.in_transaction:
            # SQLite gave it up by itself, as when the disk is full; each further statement
            # would be committed alone.
            raise transaction.TransactionManagementError("the transaction is gone")
        with database.wrap_database_errors:
            return database.connection.execute(_question_marks(statement), parameters)
    cursor = database.cursor()
    cursor.execute(statement, parameters)
    return cursor


@lru_cache(maxsize=512)
def _question_marks(statement: str) -> str:
    return statement.replace("%s", "?")


def _tests(
    model: type[models.Model], vendor: str, where: Row, where_in: Lists | None
) -> tuple[tuple[tuple[str, int], ...], list[Any]]:
    """The shape of a WHERE clause, and its parameters: (name, 0) is NULL, (name, -n) one of n."""
    columns = columns_of(model, vendor)
    shape: list[tuple[str, int]] = []
    parameters: list[Any] = []
    for name, value in where.items():
        shape.append((name, 0 if value is None else 1))
        if value is not None:
            parameters.append(columns[name].parameter(value))
    for name, options in (where_in or {}).items():
        listed = [columns[name].parameter(option) for option in options]
        shape.append((name, -len(listed) or NOTHING))
        parameters += listed
    return tuple(shape), parameters


Tests = tuple[tuple[str, int], ...]


def _clause(model: type[models.Model], tests: Tests, vendor: str) -> str:
    columns = columns_of(model, vendor)
    parts = []
    for name, count in tests:
        quoted = columns[name].quoted
        if count == NOTHING:
            parts.append("1 = 0")
        elif count > 0:
            parts.append(f"{quoted} = %s")
        elif count == 0:
            parts.append(f"{quoted} IS NULL")
        else:
            parts.append(f"{quoted} IN ({', '.join(['%s'] * -count)})")
    return " AND ".join(parts)


def _table(model: type[models.Model]) -> str:
    return connections["default"].ops.quote_name(model._meta.db_table)


@lru_cache(maxsize=256)
def _insert_statement(
    model: type[models.Model], rows: int, conflict: Conflict | None, vendor: str
) -> str:
    columns = columns_of(model, vendor)
    names = ", ".join(column.quoted for column in columns.values())
    one = "(" + ", ".join(["%s"] * len(columns)) + ")"
    statement = (
        f"INSERT INTO {_table(model)} ({names}) VALUES {', '.join([one] * rows)}"  # noqa: S608
    )
    if conflict is None:
        return statement
    key, values = conflict
    keys = ", ".join(columns[name].quoted for name in key)
    sets = ", ".join(
        f"{columns[name].quoted} = excluded.{columns[name].quoted}" for name in values
    )
    return f"{statement} ON CONFLICT ({keys}) DO UPDATE SET {sets}"


@lru_cache(maxsize=256)
def _update_statement(
    model: type[models.Model], names: tuple[str, ...], tests: Tests, vendor: str
) -> str:
    columns = columns_of(model, vendor)
    sets = ", ".join(f"{columns[name].quoted} = %s" for name in names)
    return f"UPDATE {_table(model)} SET {sets} WHERE {_clause(model, tests, vendor)}"  # noqa: S608


@lru_cache(maxsize=64)
def _advance_statement(
    model: type[models.Model], name: str, tests: Tests, vendor: str
) -> str:
    column = columns_of(model, vendor)[name].quoted
    where = _clause(model, tests, vendor)
    return f"UPDATE {_table(model)} SET {column} = {column} + %s WHERE {where} RETURNING {column}"  # noqa: S608


@lru_cache(maxsize=256)
def _select_statement(
    model: type[models.Model],
    names: tuple[str, ...],
    tests: Tests,
    order: str,
    limit: int | None,
    vendor: str,
) -> str:
    columns = columns_of(model, vendor)
    listed = ", ".join(columns[name].quoted for name in names)
    statement = (
        f"SELECT {listed} FROM {_table(model)} WHERE {_clause(model, tests, vendor)}"  # noqa: S608
    )
    if order:
        direction = " DESC" if order.startswith("-") else ""
        statement += f" ORDER BY {columns[order.lstrip('-')].quoted}{direction}"
    return statement + (f" LIMIT {limit:d}" if limit is not None else "")
