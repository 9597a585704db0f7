"""Every statement on PostgreSQL says for whom it runs; what says nothing sees nothing."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import Error, connection, transaction
from django.test.utils import CaptureQueriesContext

from apps.accounts.models import Membership
from apps.core import database, stamps
from apps.core.tenancy import Scope, staff, system, tenant
from tests import roles

pytestmark = [
    pytest.mark.security,
    pytest.mark.skipif(
        connection.vendor != "postgresql", reason="SQLite has no row-level security"
    ),
]
ALL = system("tests of the backend")
NAMES = ("app.scope", "app.org_id", "app.user_id", "app.grant")


def told() -> tuple[str, ...]:
    """What the server takes the open scope for; an empty text is no scope."""
    listed = ", ".join(
        f"coalesce(current_setting('{name}', true), '')" for name in NAMES
    )
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {listed}")
        return tuple(cursor.fetchone())


def as_told(scope: Scope) -> tuple[str, ...]:
    return (
        scope.kind.value,
        str(scope.organisation_id or ""),
        str(scope.user_id or ""),
        "",
    )


def members() -> int:
    """Rows that a forgotten filter would show."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM accounts_membership")
        return int(cursor.fetchone()[0])


A, B = tenant(uuid.uuid4(), uuid.uuid4()), tenant(uuid.uuid4())
NONE = ("", "", "", "")


@pytest.fixture(params=["autocommit", "transaction"])
def either_way(request, committed) -> Iterator[None]:
    if request.param == "autocommit":
        yield
        return
    with transaction.atomic():
        yield


@pytest.mark.usefixtures("either_way")
def test_the_innermost_scope_counts_and_the_outer_one_comes_back():
    assert told() == NONE
    with A:
        assert told() == as_told(A)
        with B:
            assert told() == as_told(B)
        assert told() == as_told(A)
        with staff(A.person_id):
            assert told() == as_told(staff(A.person_id))
        assert told() == as_told(A)
    assert told() == NONE


@pytest.mark.usefixtures("either_way")
def test_outside_any_scope_nothing_is_there(alice, mallory):
    assert members() == 0
    with ALL:
        assert members() == 2
    assert members() == 0


def test_a_savepoint_that_is_kept_or_taken_back_leaves_the_outer_scope(committed):
    with A, transaction.atomic():
        with B, transaction.atomic():
            assert told() == as_told(B)
        assert told() == as_told(A)
        with pytest.raises(ZeroDivisionError), B, transaction.atomic():
            _ = told() and 1 / 0
        assert told() == as_told(A)


def test_a_statement_that_fails_leaves_the_outer_scope(committed):
    with A, transaction.atomic():
        with pytest.raises(Error), B, transaction.atomic():
            connection.cursor().execute("SELECT 1 / 0")
        assert told() == as_told(A)


def test_a_statement_that_was_never_sent_has_told_nothing(committed):
    with A, transaction.atomic():
        assert told() == as_told(A)
        with B:
            with pytest.raises(Error):
                connection.cursor().execute("SELECT %s", [])
            assert told() == as_told(B)


def test_what_was_told_before_a_savepoint_is_told_again_after_it_is_taken_back(
    committed,
):
    with transaction.atomic():
        mark = transaction.savepoint()
        with A:
            assert told() == as_told(A)
            transaction.savepoint_rollback(mark)
            assert told() == as_told(A)


def test_a_new_transaction_knows_nothing_of_the_one_before(committed):
    with A, transaction.atomic():
        assert told() == as_told(A)
    with transaction.atomic():
        assert told() == NONE
    with connection.cursor() as cursor:  # by hand, past Django
        cursor.execute("BEGIN")
        assert told() == NONE
        cursor.execute("ROLLBACK")


def test_a_transaction_begun_by_hand_is_told_anew(committed):
    with A, transaction.atomic():
        assert told() == as_told(A)
    with connection.cursor() as cursor:
        with B:
            cursor.execute("BEGIN")
        with A:
            assert told() == as_told(A)
        cursor.execute("ROLLBACK")


def test_nothing_stays_with_a_connection_that_goes_back_to_the_pool(committed):
    with A:
        told()
    for _ in range(3):
        connection.close()
        assert told() == NONE
    with roles.connected(as_application=True) as raw:
        (count,) = raw.execute("SELECT count(*) FROM accounts_membership").fetchone()
        assert count == 0


def test_a_transaction_costs_one_message_for_begin_stamp_and_first_statement(
    committed, monkeypatch
):
    sent: list[bytes] = []
    kind = type(connection.cursor().cursor)
    send = kind._execute_send

    def seen(self, query, **options):
        sent.append(query.query)
        return send(self, query, **options)

    monkeypatch.setattr(kind, "_execute_send", seen)
    with A, transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT 1")
        cursor.execute("SELECT %s", [2])
        assert cursor.fetchone() == (2,)

    assert sent == [b"BEGIN;" + A.stamp + b"SELECT 1", b"SELECT 2"]


def test_the_log_of_queries_shows_the_statement_alone(committed):
    with A, CaptureQueriesContext(connection) as queries, transaction.atomic():
        told()

    assert not any("set_config" in query["sql"] for query in queries)
    assert queries[1]["sql"].startswith("SELECT coalesce")


def test_many_rows_and_their_count_are_those_of_the_statement(alice, mallory):
    with ALL, connection.cursor() as cursor:
        cursor.executemany(
            "UPDATE accounts_membership SET role = %s WHERE user_id = %s",
            [("viewer", alice.pk), ("viewer", mallory.pk)],
        )
        cursor.execute("UPDATE accounts_membership SET role = 'admin'")
        assert cursor.rowcount == 2
        assert len(list(Membership.objects.iterator(chunk_size=1))) == 2


async def test_requests_beside_each_other_do_not_see_each_others_rows(
    committed, alice_principal, mallory_principal
):
    def look() -> set[uuid.UUID]:
        with connection.cursor() as cursor:
            cursor.execute("SELECT organisation_id FROM accounts_membership")
            return {found for (found,) in cursor.fetchall()}

    people = [alice_principal, mallory_principal] * 20
    seen = await asyncio.gather(*(database.read(who.scope, look) for who in people))

    assert seen == [{who.organisation_id} for who in people]


def test_a_thread_that_inherits_no_scope_sees_nothing(committed, alice):
    def look() -> int:
        try:
            return members()
        finally:
            connection.close()

    with ALL, ThreadPoolExecutor(1) as pool:
        assert members() == 1
        assert pool.submit(look).result() == 0


def test_a_stamp_takes_uuids_only():
    with pytest.raises(AttributeError):
        stamps.stamp("tenant", "' , true); DROP TABLE x; --", None, None)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["isolation_level", "server_side_binding"])
def test_options_that_would_break_the_stamp_are_refused(name, monkeypatch):
    monkeypatch.setitem(connection.settings_dict["OPTIONS"], name, 1)

    with pytest.raises(Exception, match=name):
        connection.get_connection_params()
