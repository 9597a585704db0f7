"""PostgreSQL's two roles: the owner, who migrates, and the application's, which owns nothing.

Row-level security binds only a role of the second kind.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from django.db.backends.base.base import BaseDatabaseWrapper

OWN_FLAGS = "LOGIN NOSUPERUSER NOBYPASSRLS NOCREATEDB NOCREATEROLE NOREPLICATION"
STANDING = """
SELECT r.rolname, r.rolsuper, r.rolbypassrls, r.rolcreaterole,
       EXISTS (SELECT 1 FROM pg_roles o WHERE (o.rolsuper OR o.rolbypassrls) AND o.oid <> r.oid
                  AND NOT r.rolsuper AND pg_has_role(r.oid, o.oid, 'MEMBER')),
       (SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE n.nspname = current_schema() AND c.relkind IN ('r', 'p')
           AND pg_has_role(r.oid, c.relowner, 'MEMBER'))
  FROM pg_roles r WHERE r.rolname = coalesce(%s, current_user)
"""
# Tables that name an organisation, and are not guarded by force.
OPEN_TABLES = """
SELECT c.relname FROM pg_class c
  JOIN pg_namespace n ON n.oid = c.relnamespace
  JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'organisation_id'
 WHERE n.nspname = current_schema() AND c.relkind IN ('r', 'p') AND NOT a.attisdropped
   AND NOT (c.relrowsecurity AND c.relforcerowsecurity
            AND EXISTS (SELECT 1 FROM pg_policy p WHERE p.polrelid = c.oid))
 ORDER BY 1
"""

# Owners whom the force of row-level security holds as well.
BLIND_OWNERS = """
SELECT DISTINCT r.rolname FROM pg_class c
  JOIN pg_namespace n ON n.oid = c.relnamespace
  JOIN pg_roles r ON r.oid = c.relowner
 WHERE n.nspname = current_schema() AND c.relforcerowsecurity
   AND NOT (r.rolsuper OR r.rolbypassrls)
 ORDER BY 1
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What the connected role may do beside reading and writing rows."""

    name: str
    superuser: bool
    bypasses: bool
    changes_roles: bool
    escapes: bool
    owns: int

    @classmethod
    def of(cls, row: tuple[str, bool, bool, bool, bool, int]) -> Standing:
        """What STANDING tells of a role."""
        name, superuser, bypasses, changes_roles, escapes, owns = row
        return cls(
            name=name,
            superuser=superuser,
            bypasses=bypasses,
            changes_roles=changes_roles,
            escapes=escapes,
            owns=owns,
        )

    @property
    def faults(self) -> list[str]:
        """Why row-level security does not hold it, or not for long."""
        found = []
        if self.superuser:
            found.append("is a superuser")
        if self.bypasses:
            found.append("has BYPASSRLS")
        if self.changes_roles and not self.superuser:
            found.append("may change roles")
        if self.escapes:
            found.append("may become a role that row-level security does not hold")
        if self.owns:
            found.append(f"owns {self.owns} tables")
        return found


def standing(database: BaseDatabaseWrapper, role: str | None = None) -> Standing:
    """The connected role, or another one."""
    with database.cursor() as cursor:
        cursor.execute(STANDING, [role])
        return Standing.of(cursor.fetchone())


def blind_owners(database: BaseDatabaseWrapper) -> list[str]:
    """Roles that own guarded tables and see none of their rows: a migration of theirs changes nothing.

    It does not fail either, which is why this is asked.
    """
    with database.cursor() as cursor:
        cursor.execute(BLIND_OWNERS)
        return [name for (name,) in cursor.fetchall()]


def unguarded(database: BaseDatabaseWrapper, *, apart: frozenset[str]) -> list[str]:
    """Tables of organisations without row-level security, but for those that are known to be so."""
    with database.cursor() as cursor:
        cursor.execute(OPEN_TABLES)
        return [name for (name,) in cursor.fetchall() if name not in apart]


GUARDS = """
SELECT c.relname, c.relrowsecurity, c.relforcerowsecurity,
       coalesce(bool_or(p.polqual IS NOT NULL), false),
       coalesce(bool_or(p.polwithcheck IS NOT NULL AND p.polcmd IN ('*', 'a')), false),
       coalesce(bool_or(pg_get_expr(p.polqual, p.polrelid) = 'true'
                     OR pg_get_expr(p.polwithcheck, p.polrelid) = 'true'), false)
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  LEFT JOIN pg_policy p ON p.polrelid = c.oid
 WHERE n.nspname = current_schema() AND c.relname = ANY(%s) GROUP BY 1, 2, 3
"""


def lacking(database: BaseDatabaseWrapper, tables: list[str]) -> dict[str, list[str]]:
    """Table → what its row-level security lacks."""
    with database.cursor() as cursor:
        cursor.execute(GUARDS, [tables])
        return {
            name: [
                what
                for what, there in {
                    "row-level security": enabled,
                    "FORCE": forced,
                    "a policy for reading": reading,
                    "a policy for writing": writing,
                    "a condition": not wide,
                }.items()
                if not there
            ]
            for name, enabled, forced, reading, writing, wide in cursor.fetchall()
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Grants:
    """What makes `app` the application's role of a database, in the words of PostgreSQL."""

    database: str
    owner: str
    app: str
    append_only: tuple[str, ...]
    read_only: tuple[str, ...] = ("django_migrations",)

    def statements(self, password: str = "") -> Iterator[str]:
        """All of them; they can be run again. Run them as the owner or a superuser."""
        app, owner = _name(self.app), _name(self.owner)
        secret = f" PASSWORD {_text(password)}" if password else ""
        yield (
            f"DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = {_text(self.app)}) "
            f"THEN CREATE ROLE {app} {OWN_FLAGS}; END IF; END $$"
        )
        if secret:
            yield f"ALTER ROLE {app}{secret}"
        yield "REVOKE CREATE ON SCHEMA public FROM PUBLIC"
        yield f"GRANT CONNECT ON DATABASE {_name(self.database)} TO {app}"
        yield f"GRANT USAGE ON SCHEMA public TO {app}"
        for kind, rights in (
            ("TABLES", "SELECT, INSERT, UPDATE, DELETE"),
            ("SEQUENCES", "USAGE, SELECT"),
        ):
            yield f"GRANT {rights} ON ALL {kind} IN SCHEMA public TO {app}"
            yield (
                f"ALTER DEFAULT PRIVILEGES FOR ROLE {owner} IN SCHEMA public "
                f"GRANT {rights} ON {kind} TO {app}"
            )
        for table in self.read_only:
            yield f"REVOKE INSERT, UPDATE, DELETE ON {_name(table)} FROM {app}"
        for table in self.append_only:
            # DELETE stays: the table's trigger lets retention cut the oldest part, and nothing else.
            yield f"REVOKE UPDATE, TRUNCATE ON {_name(table)} FROM {app}"

    def apply(self, database: BaseDatabaseWrapper, password: str = "") -> None:
        """Run them in one transaction of the owner's connection."""
        with database.schema_editor(atomic=True) as editor:
            for statement in self.statements(password):
                editor.execute(statement, params=None)


def _name(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


def _text(text: str) -> str:
    if "\\" in text:
        return "E'" + text.replace("\\", "\\\\").replace("'", "''") + "'"
    return "'" + text.replace("'", "''") + "'"
