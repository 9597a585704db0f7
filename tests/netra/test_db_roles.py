"""The application's role: what makes it, what it may, and that nothing serves with more."""

from __future__ import annotations

from collections.abc import Iterator
from io import StringIO

import psycopg
import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from apps.core import checks
from apps.core import roles as app_roles
from apps.core.roles import Grants, standing, unguarded
from netra import arrival
from netra.management.commands.db_roles import APPEND_ONLY
from tests import roles

pytestmark = pytest.mark.security
on_postgresql = pytest.mark.skipif(
    connection.vendor != "postgresql", reason="SQLite has no roles"
)


@pytest.fixture
def as_owner(db) -> Iterator[None]:
    """The connection has the owner's rights, as in an installation with one role."""
    with roles.as_owner():
        yield


def printed(**options) -> str:
    out = StringIO()
    call_command("db_roles", stdout=out, **options)
    return out.getvalue()


@pytest.mark.skipif(connection.vendor != "sqlite", reason="only SQLite has no roles")
def test_on_sqlite_there_is_nothing_to_do(settings) -> None:
    with pytest.raises(CommandError, match="SQLite"):
        printed()
    assert checks.check_database_role(databases=["default"]) == []
    arrival.require_plain_role(pytest.fail)


@on_postgresql
def test_it_prints_what_it_would_run_and_no_password(db, settings) -> None:
    settings.NETRA_DATABASE_PASSWORD = "hush"
    lines = printed(role="somebody").splitlines()

    assert 'GRANT USAGE ON SCHEMA public TO "somebody";' in lines
    assert 'REVOKE UPDATE, TRUNCATE ON "audits_entry" FROM "somebody";' in lines
    assert not any("hush" in line for line in lines)


@on_postgresql
def test_the_owner_is_not_made_the_applications_role(db) -> None:
    with pytest.raises(CommandError, match="owns the tables"):
        printed(role=roles.ROLE)


@on_postgresql
def test_a_role_is_made_once_logs_in_and_gets_later_tables_too(db) -> None:
    name, secret = "netra_tests_made", 'it\'s \\ "secret"'
    with roles.connected() as raw:
        grants = Grants(
            database=raw.info.dbname,
            owner=raw.info.user,
            app=name,
            append_only=APPEND_ONLY,
        )
        try:
            for _ in range(2):
                for statement in grants.statements(secret):
                    raw.execute(statement)
            raw.execute("CREATE TABLE later (id int)")
            raw.execute(f"SET ROLE {name}")
            raw.execute("INSERT INTO later VALUES (1)")
            flags = raw.execute(
                "SELECT rolsuper, rolbypassrls, rolcreatedb, rolcreaterole, rolcanlogin"
                " FROM pg_roles WHERE rolname = current_user"
            ).fetchone()
        finally:
            raw.execute("SET ROLE NONE")
            raw.execute("DROP TABLE IF EXISTS later")
            raw.execute(f"DROP OWNED BY {name}")
            raw.execute(f"DROP ROLE {name}")

    assert flags == (False, False, False, False, True)


@on_postgresql
def test_the_tests_run_as_the_application_does(db) -> None:
    told = standing(connection)

    assert (told.name, told.faults) == (roles.ROLE, [])
    assert checks.check_database_role(databases=["default"]) == []
    arrival.require_plain_role(pytest.fail)


@on_postgresql
def test_an_owner_is_told_of_and_refused_in_production(as_owner, settings) -> None:
    said: list[str] = []

    arrival.require_plain_role(said.append)
    found = checks.check_database_role(databases=["default"])
    settings.PRODUCTION = True
    refused = checks.check_database_role(databases=["default"])

    assert len(said) == 1
    assert "db_roles" in said[0]
    assert [message.id for message in found] == ["netra.W008"]
    assert [message.id for message in refused] == ["netra.E005"]
    with pytest.raises(arrival.PrivilegedRoleError):
        arrival.require_plain_role(pytest.fail)


@pytest.fixture
def superuser(db) -> Iterator[psycopg.Connection]:
    """A connection of its own, whose roles are taken back."""
    with roles.connected() as raw, raw.transaction(force_rollback=True):
        yield raw


@on_postgresql
@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("CREATE ROLE netra_tests_app LOGIN", None),
        ("CREATE ROLE netra_tests_app LOGIN BYPASSRLS", "has BYPASSRLS"),
        ("CREATE ROLE netra_tests_app LOGIN CREATEROLE", "may change roles"),
        (
            "CREATE ROLE netra_tests_app LOGIN NOINHERIT; GRANT {user} TO netra_tests_app",
            "may become a role that row-level security does not hold",
        ),
        (
            """CREATE ROLE netra_tests_far BYPASSRLS; CREATE ROLE netra_tests_near;
            CREATE ROLE netra_tests_app LOGIN; GRANT netra_tests_far TO netra_tests_near;
            GRANT netra_tests_near TO netra_tests_app""",
            "may become a role that row-level security does not hold",
        ),
    ],
    ids=["plain", "bypasses", "makes roles", "becomes a superuser", "becomes another"],
)
def test_each_way_past_row_level_security_is_told(superuser, given, says) -> None:
    superuser.execute(given.format(user=superuser.info.user))
    row = superuser.execute(app_roles.STANDING, ["netra_tests_app"]).fetchone()

    faults = app_roles.Standing.of(row).faults

    assert [fault for fault in faults if fault == says] == ([says] if says else [])
    assert bool(faults) is (says is not None)


@on_postgresql
def test_an_owner_whose_migrations_would_see_no_rows_is_told_of(
    as_owner, capsys
) -> None:
    assert app_roles.blind_owners(connection) == []
    with connection.cursor() as cursor:
        cursor.execute("CREATE ROLE netra_tests_blind")
        cursor.execute("ALTER TABLE usage_record OWNER TO netra_tests_blind")

    assert app_roles.blind_owners(connection) == ["netra_tests_blind"]
    found = checks.check_database_role(databases=["default"])
    assert "netra.W009" in [message.id for message in found]
    call_command("db_roles", role=roles.ROLE, apply=True, verbosity=0)
    assert "netra_tests_blind" in capsys.readouterr().err

    with connection.cursor() as cursor:
        cursor.execute("ALTER ROLE netra_tests_blind BYPASSRLS")
    assert app_roles.blind_owners(connection) == []


@on_postgresql
def test_a_table_whose_guard_was_taken_away_is_an_error(as_owner) -> None:
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE usage_record NO FORCE ROW LEVEL SECURITY")

    assert unguarded(connection, apart=checks.SHARED) == ["usage_record"]
    found = checks.check_database_role(databases=["default"])
    assert "netra.E006" in [message.id for message in found]


@on_postgresql
def test_without_the_database_nothing_is_checked() -> None:
    assert checks.check_database_role(databases=None) == []


def test_names_and_passwords_are_quoted() -> None:
    lines = list(
        Grants(database='d"b', owner="o", app="a'p", append_only=()).statements("p'w\\")
    )

    assert "ALTER ROLE \"a'p\" PASSWORD E'p''w\\\\'" in lines
    assert any('"d""b"' in line for line in lines)
    assert "rolname = 'a''p'" in lines[0]
