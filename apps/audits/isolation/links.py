"""Looks at the tables as they are: rows that point at each other agree, and PostgreSQL's guards stand."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.apps import apps
from django.core.exceptions import FieldDoesNotExist
from django.db import connection, models
from django.db.models import F, ForeignKey

from apps.audits.isolation.judging import Check, Judged, Outcome
from apps.audits.isolation.rows import organisation_column, rows_of
from apps.core import roles
from apps.core.surfaces import Kind, Rows
from apps.core.tenancy import system

LOOKING = system("isolation audit: rows that point at another organisation's")


def try_links(surface: Rows) -> Iterator[Judged]:
    """Every foreign key between two rows of tenants, over all organisations."""
    model = apps.get_model(surface.label)
    for field in model._meta.get_fields():
        if not isinstance(field, ForeignKey) or field.name == "organisation":
            continue
        target: Any = field.remote_field.model
        try:
            own, theirs = organisation_column(model), organisation_column(target)
        except FieldDoesNotExist:
            continue
        with LOOKING:
            strays = _strays(model, field.name, own, theirs)
        yield Judged(
            kind=Kind.MODEL,
            surface=surface.name,
            check=Check.LINKS,
            outcome=Outcome.BREACHED if strays else Outcome.HELD,
            request=f"{surface.label}.{field.name}",
            expected="0 rows point at another organisation's",
            got=f"{strays} rows",
        )


def _strays(model: type[models.Model], name: str, own: str, theirs: str) -> int:
    rows = rows_of(model).filter(**{f"{name}__isnull": False})
    return int(rows.exclude(**{own: F(f"{name}__{theirs}")}).count())


def try_policies(surfaces: list[Rows]) -> Iterator[Judged]:
    """PostgreSQL's own guard of each table. SQLite has none: nothing is said of it."""
    if connection.vendor != "postgresql":
        return
    tables = {
        apps.get_model(s.label)._meta.db_table: s for s in surfaces if not s.shared
    }
    with LOOKING:
        guarded = roles.lacking(connection, list(tables))
    for table, surface in tables.items():
        lacking = guarded.get(table, ["the table"])
        yield Judged(
            kind=Kind.MODEL,
            surface=surface.name,
            check=Check.POLICY,
            outcome=Outcome.BREACHED if lacking else Outcome.HELD,
            request=f"the policies of {table}",
            expected="row-level security, forced, with USING and WITH CHECK",
            got=f"lacks {', '.join(lacking)}" if lacking else "all there",
        )
    yield _role()


def _role() -> Judged:
    with LOOKING:
        faults = roles.standing(connection).faults
    return Judged(
        kind=Kind.MODEL,
        surface="the database's role",
        check=Check.POLICY,
        outcome=Outcome.BREACHED if faults else Outcome.HELD,
        request="the rights of the role that the application uses",
        expected="held by row-level security",
        got=", ".join(faults) or "held",
    )
