"""PostgreSQL keeps organisations apart where the product's own filters fail: asked below Django.

Each table is filled, asked and robbed of its guard in a transaction of the owner's that is taken back.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from django.apps import apps
from django.db import IntegrityError, connection
from django.utils import timezone
from psycopg import sql

from apps.chat.models import Message, Thread
from apps.core.tenancy import Scope, staff, system, tenant
from netra.management.commands.db_roles import APPEND_ONLY
from tests import roles

pytestmark = [
    pytest.mark.security,
    pytest.mark.django_db,
    pytest.mark.skipif(
        connection.vendor != "postgresql", reason="SQLite has no row-level security"
    ),
]

# Tables without a policy, and why that is right. Every other one has one, for its owner too.
OUTSIDE = {
    "accounts_user": "one account for all organisations; needed before any is known",
    "accounts_user_groups": "rights of Netra's own staff",
    "accounts_user_user_permissions": "rights of Netra's own staff",
    "accounts_organisation": "names and plans; needed before any is known",
    "accounts_signin": "sessions belong to a person; asked by person or session key only",
    "account_emailaddress": "addresses belong to a person",
    "account_emailconfirmation": "addresses belong to a person",
    "auth_group": "rights of Netra's own staff",
    "auth_group_permissions": "rights of Netra's own staff",
    "auth_permission": "names of rights",
    "core_flag": "switches; read before anybody is known",
    "django_admin_log": "Django's list of what staff did; the trail is ours",
    "django_content_type": "names of models",
    "django_migrations": "Django's; the application only reads it",
    "django_session": "needed before anybody is known; asked by its random key only",
    "executions_breaker": "providers of models belong to no organisation",
    "mfa_authenticator": "second factors belong to a person",
    "socialaccount_socialaccount": "a person's sign-ins; accounts_identity says for which organisation",
    "socialaccount_socialapp": "empty: providers are accounts_identityprovider",
    "socialaccount_socialtoken": "empty: tokens of providers are not kept",
}
CONTENT = {"executions_content", "chat_message"}
GUARDED = sorted(
    model._meta.db_table
    for model in apps.get_models(include_auto_created=True)
    if model._meta.db_table not in OUTSIDE
)
A, B, SUPPORT = tenant(uuid.uuid4()), tenant(uuid.uuid4()), staff(uuid.uuid4())
ALL = system("a probe")
SAMPLES = {
    "uuid": "gen_random_uuid()",
    "boolean": "false",
    "timestamp with time zone": "now()",
    "jsonb": "'[]'",
    "inet": "'127.0.0.1'",
}


class Probe:
    """A connection of the owner's in one transaction, which asks as the application would."""

    def __init__(self, raw: psycopg.Connection, table: str) -> None:
        self.raw, self.table = raw, table

    def run(self, statement: str, *values: Any) -> psycopg.Cursor:
        named = sql.SQL(statement).format(table=sql.Identifier(self.table))  # type: ignore[arg-type]
        return self.raw.execute(named, values)

    def ask(
        self, scope: Scope | None, statement: str, grant: uuid.UUID | None = None
    ) -> int:
        """How many rows a statement of the application's meets in a scope; then it is taken back."""
        with self.raw.transaction(force_rollback=True):
            if scope is not None:
                self.raw.execute(scope.stamp.decode().rstrip(";"))
            self.raw.execute(
                "SELECT set_config('app.grant', %s, true)", [str(grant or "")]
            )
            self.raw.execute(f"SET LOCAL ROLE {roles.ROLE}")
            found = self.run(statement)
            return found.fetchone()[0] if found.description else found.rowcount

    def count(self, scope: Scope | None, grant: uuid.UUID | None = None) -> int:
        return self.ask(scope, "SELECT count(*) FROM {table}", grant)

    def unchecked(self) -> Probe:
        """What a row says beside its organisation does not matter here, so nothing checks it."""
        checks = self.run(
            "SELECT conname FROM pg_constraint WHERE conrelid = %s::regclass AND contype = 'c'",
            self.table,
        )
        for (name,) in checks.fetchall():
            self.run(f'ALTER TABLE {{table}} DROP CONSTRAINT "{name}"')
        return self

    def insert(self, organisation_id: uuid.UUID, **values: str) -> None:
        columns = self.run(
            "SELECT column_name, data_type FROM information_schema.columns "
            "WHERE table_name = %s AND is_nullable = 'NO' AND is_identity = 'NO'",
            self.table,
        )
        given = {name: SAMPLES.get(kind, "'1'") for name, kind in columns.fetchall()}
        given |= values | {"organisation_id": f"'{organisation_id}'"}
        names = ", ".join(f'"{name}"' for name in given)
        texts = ", ".join(given.values())
        self.run(f"INSERT INTO {{table}} ({names}) VALUES ({texts})")  # noqa: S608 - ours


@pytest.fixture
def owner(db) -> Iterator[psycopg.Connection]:
    with roles.connected() as raw, raw.transaction(force_rollback=True):
        raw.execute("SET LOCAL lock_timeout = '5s'")
        raw.execute("SET LOCAL session_replication_role = replica")
        yield raw


@pytest.fixture(params=GUARDED)
def probe(request, owner) -> Probe:
    """A table with one row of B's."""
    made = Probe(owner, request.param).unchecked()
    made.insert(B.tenant_id)
    return made


def test_every_table_is_guarded_or_known_not_to_be(owner):
    found = owner.execute(
        "SELECT c.relname, c.relrowsecurity AND c.relforcerowsecurity,"
        " (SELECT count(*) FROM pg_policy p WHERE p.polrelid = c.oid)"
        " FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE n.nspname = 'public' AND c.relkind IN ('r', 'p')"
    ).fetchall()

    open_tables = {
        name for name, forced, policies in found if not (forced and policies)
    }
    assert open_tables == set(OUTSIDE)


def test_no_policy_admits_everybody_and_no_view_or_function_goes_round_them(owner):
    loose = owner.execute(
        "SELECT tablename FROM pg_policies WHERE qual = 'true' OR with_check = 'true'"
        " OR (cmd <> 'SELECT' AND with_check IS NULL)"
    ).fetchall()
    views = owner.execute(
        "SELECT viewname FROM pg_views WHERE schemaname = 'public'"
    ).fetchall()
    definers = owner.execute(
        "SELECT proname FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace"
        " WHERE prosecdef AND n.nspname = 'public'"
    ).fetchall()

    assert (loose, views, definers) == ([], [], [])


@pytest.mark.mission_critical
def test_another_organisation_neither_sees_nor_touches_a_row(probe):
    assert probe.count(B) == 1
    assert probe.count(A) == 0
    assert probe.count(None) == 0
    for scope in (A, None):
        assert probe.ask(scope, "DELETE FROM {table}") == 0
        if probe.table not in APPEND_ONLY:  # there nobody may update at all
            same = "UPDATE {table} SET organisation_id = organisation_id"
            assert probe.ask(scope, same) == 0


@pytest.mark.mission_critical
@pytest.mark.parametrize("scope", [A, None], ids=["another", "none"])
def test_nobody_writes_a_row_for_another_organisation(probe, scope):
    probe.run("DELETE FROM {table}")
    if scope is not None:
        probe.raw.execute(scope.stamp.decode())
    probe.raw.execute(f"SET LOCAL ROLE {roles.ROLE}")

    with pytest.raises(
        psycopg.errors.InsufficientPrivilege, match="row-level security"
    ):
        probe.insert(B.tenant_id)


def test_the_system_sees_all_and_staff_all_but_content(probe):
    assert probe.count(ALL) == 1
    assert probe.count(SUPPORT) == (0 if probe.table in CONTENT else 1)


def test_without_its_policy_the_table_leaks(probe):
    """The probes above can fail: each guard is taken away, and they see what they should not."""
    probe.run("ALTER TABLE {table} DISABLE ROW LEVEL SECURITY")
    assert probe.count(A) == 1
    probe.run("ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
    assert probe.count(A) == 0

    probe.run("CREATE POLICY wide ON {table} USING (true)")
    assert probe.count(A) == 1
    assert probe.count(None) == 1


# -- content, for staff ------------------------------------------------------------------


@pytest.fixture(params=sorted(CONTENT))
def said(request, owner) -> Probe:
    """A table of content with a row of B's and one of A's."""
    made = Probe(owner, request.param).unchecked()
    for scope in (A, B):
        made.insert(scope.tenant_id)
    return made


def granted(owner: psycopg.Connection, **values: str) -> uuid.UUID:
    """A grant of SUPPORT's for B that is live, but for what `values` say."""
    made = uuid.uuid4()
    live = {
        "id": f"'{made}'",
        "staff_id": f"'{SUPPORT.user_id}'",
        "approved_at": "now()",
        "expires_at": "now() + interval '1 hour'",
    }
    organisation = uuid.UUID(values.pop("organisation_id", str(B.tenant_id)))
    Probe(owner, "audits_accessgrant").unchecked().insert(organisation, **live | values)
    return made


@pytest.mark.mission_critical
def test_staff_read_the_content_of_one_organisation_under_a_live_grant(said, owner):
    grant = granted(owner)

    assert said.count(SUPPORT) == 0
    assert said.count(SUPPORT, grant) == 1
    assert said.ask(SUPPORT, "DELETE FROM {table}", grant) == 0
    same = "UPDATE {table} SET organisation_id = organisation_id"
    assert said.ask(SUPPORT, same, grant) == 0
    assert said.count(staff(uuid.uuid4()), grant) == 0
    assert said.count(SUPPORT, uuid.uuid4()) == 0
    assert said.count(None, grant) == 0


@pytest.mark.parametrize(
    "values",
    [
        {"approved_at": "NULL"},
        {"refused_at": "now()"},
        {"ended_at": "now()"},
        {"expires_at": "now() - interval '1 second'"},
        {"organisation_id": str(uuid.uuid4())},
    ],
    ids=lambda values: next(iter(values)),
)
def test_a_grant_that_is_not_live_opens_nothing(said, owner, values):
    assert said.count(SUPPORT, granted(owner, **values)) == 0


# -- what the application's role may not ---------------------------------------------------


@pytest.mark.parametrize(
    "statement",
    [
        "TRUNCATE chat_message",
        "ALTER TABLE chat_message DISABLE ROW LEVEL SECURITY",
        "ALTER TABLE chat_message NO FORCE ROW LEVEL SECURITY",
        "DROP POLICY netra_scope ON chat_message",
        "CREATE POLICY wide ON chat_message USING (true)",
        "DROP TABLE chat_message",
        "CREATE TABLE mine (id int)",
        "CREATE VIEW seen AS SELECT * FROM chat_message",
        "SET ROLE pg_read_all_data",
        f"ALTER ROLE {roles.ROLE} BYPASSRLS",
        "CREATE ROLE another",
        "SET session_replication_role = replica",
        "UPDATE audits_entry SET body = 'x'",
        "TRUNCATE audits_entry",
        "UPDATE audits_checkpoint SET body = 'x'",
        "DELETE FROM django_migrations",
        "SET row_security = off; SELECT count(*) FROM chat_message",
    ],
)
def test_the_applications_role_cannot_lift_what_holds_it(statement, db):
    with (
        roles.connected(as_application=True) as raw,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        raw.execute(statement)


# -- foreign keys ----------------------------------------------------------------------------


def test_every_key_between_rows_of_organisations_carries_the_organisation(owner):
    found = owner.execute(
        "SELECT conrelid::regclass::text, conname, array_length(conkey, 1)"
        " FROM pg_constraint WHERE contype = 'f'"
        " AND conrelid::regclass::text = ANY(%s) AND confrelid::regclass::text = ANY(%s)",
        [GUARDED, GUARDED],
    ).fetchall()

    assert len(found) >= 16
    assert [name for _, name, columns in found if columns != 2] == []
    assert all(name.endswith("_same_organisation") for _, name, _ in found)


def test_a_row_does_not_point_at_another_organisations_row(
    alice_principal, mallory_principal
):
    now = timezone.now()
    with system("a test"):
        thread = Thread.objects.create(
            organisation_id=mallory_principal.organisation_id,
            user_id=mallory_principal.user_id,
            created_at=now,
            updated_at=now,
        )
        Message.objects.create(
            organisation_id=alice_principal.organisation_id,
            thread_id=thread.pk,
            role="user",
            text="x",
            created_at=now,
        )

        with pytest.raises(IntegrityError, match="same_organisation"):
            connection.check_constraints()
