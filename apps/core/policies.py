"""Row-level security of PostgreSQL, as operations of migrations; on SQLite they do nothing.

What a released migration made must stay as it is: a new rule is a new function here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import ProjectState

POLICY, READING = "netra_scope", "netra_grant"


def _setting(name: str, kind: str = "") -> str:
    # Asked once for each statement, not for each row; '' is what a finished transaction leaves.
    return f"(SELECT NULLIF(current_setting('{name}', true), ''){kind})"


SCOPE = _setting("app.scope")
ORGANISATION = _setting("app.org_id", "::uuid")
USER = _setting("app.user_id", "::uuid")
GRANT = _setting("app.grant", "::uuid")


def structure() -> str:
    """The open organisation's rows; all of them for staff and for the system."""
    return f"organisation_id = {ORGANISATION} OR {SCOPE} IN ('staff', 'system')"


def content() -> str:
    """The open organisation's rows, and all for the system; staff write none."""
    return f"organisation_id = {ORGANISATION} OR {SCOPE} = 'system'"


def granted() -> str:
    """What staff read: an organisation's rows, under a grant that is live at this moment."""
    live = (
        "SELECT organisation_id FROM audits_accessgrant"  # noqa: S608 - words of our own
        f" WHERE id = {GRANT} AND staff_id = {USER} AND approved_at IS NOT NULL"
        " AND refused_at IS NULL AND ended_at IS NULL AND expires_at > statement_timestamp()"
    )
    return f"{SCOPE} = 'staff' AND organisation_id = ({live})"


class _OnPostgres(Operation):
    """Changes what PostgreSQL guards; Django's picture of the tables stays as it is."""

    reversible = True

    def state_forwards(self, app_label: str, state: ProjectState) -> None:
        """Nothing that Django knows of."""

    def database_forwards(
        self,
        app_label: str,  # noqa: ARG002 - Django's
        schema_editor: BaseDatabaseSchemaEditor,
        from_state: ProjectState,  # noqa: ARG002
        to_state: ProjectState,  # noqa: ARG002
    ) -> None:
        self._run(schema_editor, self.forwards)

    def database_backwards(
        self,
        app_label: str,  # noqa: ARG002 - Django's
        schema_editor: BaseDatabaseSchemaEditor,
        from_state: ProjectState,  # noqa: ARG002
        to_state: ProjectState,  # noqa: ARG002
    ) -> None:
        self._run(schema_editor, self.backwards)

    def _run(
        self,
        editor: BaseDatabaseSchemaEditor,
        told: Callable[[BaseDatabaseWrapper], list[str]],
    ) -> None:
        if editor.connection.vendor == "postgresql":
            for statement in told(editor.connection):
                editor.execute(statement)

    def forwards(self, database: BaseDatabaseWrapper) -> list[str]:
        raise NotImplementedError

    def backwards(self, database: BaseDatabaseWrapper) -> list[str]:
        raise NotImplementedError


class Protect(_OnPostgres):
    """No row of these tables is read or written outside a scope that admits it, by the owner either.

    `rule` holds for reading and writing; `reading`, if there is one, admits readers beside it.
    """

    def __init__(self, *tables: str, rule: str, reading: str = "") -> None:
        self.tables, self.rule, self.reading = tables, rule, reading

    def deconstruct(self) -> tuple[str, Any, Any]:
        named = {"rule": self.rule, "reading": self.reading}
        return (type(self).__name__, self.tables, named)

    def describe(self) -> str:
        return f"Guard the rows of {', '.join(self.tables)}"

    def forwards(self, database: BaseDatabaseWrapper) -> list[str]:  # noqa: ARG002
        return [one for table in self.tables for one in self._guard(table)]

    def backwards(self, database: BaseDatabaseWrapper) -> list[str]:  # noqa: ARG002
        return [one for table in self.tables for one in self._unguard(table)]

    def _guard(self, table: str) -> Iterator[str]:
        yield f'CREATE POLICY {POLICY} ON "{table}" USING ({self.rule}) WITH CHECK ({self.rule})'
        if self.reading:
            yield f'CREATE POLICY {READING} ON "{table}" FOR SELECT USING ({self.reading})'
        yield f'ALTER TABLE "{table}" ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY'

    def _unguard(self, table: str) -> Iterator[str]:
        yield f'ALTER TABLE "{table}" NO FORCE ROW LEVEL SECURITY, DISABLE ROW LEVEL SECURITY'
        yield f'DROP POLICY IF EXISTS {READING} ON "{table}"'
        yield f'DROP POLICY {POLICY} ON "{table}"'


def structures(*tables: str) -> Protect:
    """Tables that say what happened."""
    return Protect(*tables, rule=structure())


def contents(*tables: str) -> Protect:
    """Tables that hold what was said."""
    return Protect(*tables, rule=content(), reading=granted())


class Identify(_OnPostgres):
    """Rows of these tables can be pointed at together with their organisation."""

    def __init__(self, *tables: str) -> None:
        self.tables = tables

    def deconstruct(self) -> tuple[str, Any, Any]:
        return (type(self).__name__, self.tables, {})

    def describe(self) -> str:
        return f"Let {', '.join(self.tables)} be pointed at with the organisation"

    def forwards(self, database: BaseDatabaseWrapper) -> list[str]:  # noqa: ARG002
        return [
            f'ALTER TABLE "{table}" ADD CONSTRAINT {table}_of_organisation '
            "UNIQUE (organisation_id, id)"
            for table in self.tables
        ]

    def backwards(self, database: BaseDatabaseWrapper) -> list[str]:  # noqa: ARG002
        return [
            f'ALTER TABLE "{table}" DROP CONSTRAINT {table}_of_organisation'
            for table in self.tables
        ]


class Bind(_OnPostgres):
    """A row points only at a row of its own organisation.

    Row-level security does not see this: the database checks foreign keys as the owner. The key
    of one column goes, since this one says as much and more.
    """

    def __init__(self, table: str, **targets: str) -> None:
        self.table, self.targets = table, targets

    def deconstruct(self) -> tuple[str, Any, Any]:
        return (type(self).__name__, (self.table,), self.targets)

    def describe(self) -> str:
        return f"Bind {', '.join(self.targets)} of {self.table} to its organisation"

    def forwards(self, database: BaseDatabaseWrapper) -> list[str]:
        single = self._keys_of_one_column(database)
        return [
            f'ALTER TABLE "{self.table}" DROP CONSTRAINT "{single[column]}", '
            f"ADD CONSTRAINT {self._name(column)} "
            f'FOREIGN KEY (organisation_id, {column}) REFERENCES "{target}" '
            "(organisation_id, id) DEFERRABLE INITIALLY DEFERRED"
            for column, target in self.targets.items()
        ]

    def backwards(self, database: BaseDatabaseWrapper) -> list[str]:  # noqa: ARG002
        return [
            f'ALTER TABLE "{self.table}" DROP CONSTRAINT {self._name(column)}, '
            f"ADD CONSTRAINT {self.table}_{column}_fk "
            f'FOREIGN KEY ({column}) REFERENCES "{target}" (id) '
            "DEFERRABLE INITIALLY DEFERRED"
            for column, target in self.targets.items()
        ]

    def _keys_of_one_column(self, database: BaseDatabaseWrapper) -> dict[str, str]:
        """Column → the name that Django made up for its foreign key."""
        with database.cursor() as cursor:
            found = database.introspection.get_constraints(cursor, self.table)
        return {
            rule["columns"][0]: name
            for name, rule in found.items()
            if rule["foreign_key"] and len(rule["columns"]) == 1
        }

    def _name(self, column: str) -> str:
        return f"{self.table}_{column}_same_organisation"
