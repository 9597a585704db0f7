"""How values become database parameters and back, worked out once for each column.

The fields themselves do the same, checking much that compiled statements know beforehand.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache, partial
from typing import Any
from uuid import UUID, uuid4

from django.db import connection, models

from apps.core.ids import rising_id

Convert = Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a hot table."""

    name: str
    quoted: str
    to_database: Convert | None  # None: as it is
    from_database: Convert | None
    constant: (
        bool  # `default` is a parameter already, not a function that makes a value
    )
    default: Any
    check_open: Callable[[], None] | None = None  # of content: whether it may be read

    def parameter(self, value: Any) -> Any:
        return (
            value
            if value is None or self.to_database is None
            else self.to_database(value)
        )

    def default_parameter(self) -> Any:
        return self.default if self.constant else self.parameter(self.default())

    def value(self, stored: Any) -> Any:
        return (
            stored
            if stored is None or self.from_database is None
            else self.from_database(stored)
        )


@lru_cache(maxsize=64)
def columns_of(model: type[models.Model], vendor: str) -> dict[str, Column]:
    """The columns of a table by attribute name, in the table's order."""
    return {
        field.attname: _column(field, vendor) for field in model._meta.concrete_fields
    }


def _column(field: models.Field[Any, Any], vendor: str) -> Column:
    convert = _writing(field, vendor)
    default: Any = field.get_default
    if field.primary_key and field.default is uuid4:
        default = rising_id
    constant = not callable(field.default)
    if constant:
        value = field.get_default()
        default = value if value is None or convert is None else convert(value)
    return Column(
        name=field.attname,
        quoted=connection.ops.quote_name(str(field.column)),
        to_database=convert,
        from_database=_reading(field, vendor),
        constant=constant,
        default=default,
        check_open=getattr(field, "check_open", None),
    )


def _writing(field: models.Field[Any, Any], vendor: str) -> Convert | None:
    kind = _kind(field)
    sqlite = vendor == "sqlite"
    if issubclass(kind, models.UUIDField):
        return _hex if sqlite else None
    if kind is models.DateTimeField:
        return _naive_text if sqlite else None
    if kind is models.JSONField and sqlite:
        return json.dumps
    if kind in {models.CharField, models.TextField, models.SlugField}:
        return _plain_text
    if issubclass(kind, models.IntegerField) or kind is models.BooleanField:
        return None
    return partial(_by_field, field)


def _kind(field: models.Field[Any, Any]) -> type[models.Field[Any, Any]]:
    """How the column is stored; fields of content are stored as plain ones."""
    target = getattr(field, "target_field", field)
    kind: type[models.Field[Any, Any]] = getattr(target, "stored_as", type(target))
    return kind


def _reading(field: models.Field[Any, Any], vendor: str) -> Convert | None:
    kind = _kind(field)
    if issubclass(kind, models.UUIDField) and vendor == "sqlite":
        return UUID
    if kind is models.DateTimeField and vendor == "sqlite":
        return _aware
    if kind is models.JSONField:
        return json.loads
    return None


def _hex(value: UUID) -> str:
    return value.hex


def _naive_text(value: datetime) -> str:
    return str(value.astimezone(UTC).replace(tzinfo=None))


def _aware(value: datetime) -> datetime:
    return value.replace(tzinfo=UTC)


def _plain_text(value: Any) -> str:
    return (
        value if value.__class__ is str else str(value)
    )  # enums are strings with a class


def _by_field(field: models.Field[Any, Any], value: Any) -> Any:
    return field.get_db_prep_save(value, connection)
