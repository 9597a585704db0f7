"""Compiled INSERT and compare-and-swap for the hot tables, through the models' own fields.

Every statement names the organisation. Everything that is not hot uses the ORM.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from django.db import connection, models

Row = Mapping[str, object]


def insert(model: type[models.Model], rows: Sequence[Row]) -> None:
    """Insert `rows` (attribute name → value; what is missing takes the field's default)."""
    if not rows:
        return
    statement, fields = _insert_statement(model, len(rows), connection.vendor)
    values: list[Any] = []
    for row in rows:
        if "organisation_id" not in row:
            raise ValueError(f"a row of {model.__name__} must name its organisation")
        for field in fields:
            value = row[field.attname] if field.attname in row else field.get_default()
            values.append(_prepared(field, value))
    with connection.cursor() as cursor:
        cursor.execute(statement, values)


def swap(
    model: type[models.Model],
    *,
    where: Row,
    values: Row,
    where_in: Mapping[str, Iterable[object]] | None = None,
) -> bool:
    """UPDATE … WHERE all of `where`: True when exactly that row was still as expected."""
    if "organisation_id" not in where:
        raise ValueError(f"a change of {model.__name__} must name its organisation")
    lists = {name: tuple(options) for name, options in (where_in or {}).items()}
    shape = (
        tuple(values),
        tuple((name, value is None) for name, value in where.items()),
        tuple((name, len(options)) for name, options in lists.items()),
    )
    statement = _update_statement(model, shape, connection.vendor)
    fields = _fields(model)
    parameters = [_prepared(fields[name], value) for name, value in values.items()]
    parameters += [_prepared(fields[n], v) for n, v in where.items() if v is not None]
    for name, options in lists.items():
        parameters += [_prepared(fields[name], value) for value in options]
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        changed: int = cursor.rowcount
    return changed == 1


def advance(
    model: type[models.Model], *, where: Row, column: str, by: int
) -> int | None:
    """Add `by` to a counter column and return its new value; None when there is no such row."""
    if "organisation_id" not in where:
        raise ValueError(f"a change of {model.__name__} must name its organisation")
    fields = _fields(model)
    target = _column(fields[column])
    tests = " AND ".join(f"{_column(fields[name])} = %s" for name in where)
    table = connection.ops.quote_name(model._meta.db_table)
    statement = (
        f"UPDATE {table} SET {target} = {target} + %s WHERE {tests} RETURNING {target}"  # noqa: S608
    )
    with connection.cursor() as cursor:
        cursor.execute(
            statement, [by, *(_prepared(fields[n], v) for n, v in where.items())]
        )
        row = cursor.fetchone()
    return None if row is None else int(row[0])


@lru_cache(maxsize=64)
def _fields(model: type[models.Model]) -> dict[str, models.Field[Any, Any]]:
    return {field.attname: field for field in model._meta.concrete_fields}


@lru_cache(maxsize=256)
def _insert_statement(
    model: type[models.Model], rows: int, _vendor: str
) -> tuple[str, tuple[models.Field[Any, Any], ...]]:
    fields = tuple(_fields(model).values())
    columns = ", ".join(_column(field) for field in fields)
    one = "(" + ", ".join(["%s"] * len(fields)) + ")"
    table = connection.ops.quote_name(model._meta.db_table)
    return f"INSERT INTO {table} ({columns}) VALUES {', '.join([one] * rows)}", fields  # noqa: S608


Shape = tuple[
    tuple[str, ...], tuple[tuple[str, bool], ...], tuple[tuple[str, int], ...]
]


@lru_cache(maxsize=256)
def _update_statement(model: type[models.Model], shape: Shape, _vendor: str) -> str:
    values, where, lists = shape
    fields = _fields(model)

    def column(name: str) -> str:
        return _column(fields[name])

    sets = ", ".join(f"{column(name)} = %s" for name in values)
    tests = [
        f"{column(n)} IS NULL" if null else f"{column(n)} = %s" for n, null in where
    ]
    tests += [
        f"{column(name)} IN ({', '.join(['%s'] * count)})" for name, count in lists
    ]
    table = connection.ops.quote_name(model._meta.db_table)
    return f"UPDATE {table} SET {sets} WHERE {' AND '.join(tests)}"  # noqa: S608


def _column(field: models.Field[Any, Any]) -> str:
    return connection.ops.quote_name(str(field.column))


def _prepared(field: models.Field[Any, Any], value: object) -> Any:
    return field.get_db_prep_save(value, connection)
