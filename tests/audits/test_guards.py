"""The database itself keeps sealed rows: no update, no delete, no emptying, whatever the code says."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import Error, connection, transaction
from django.utils import timezone

from apps.audits import retention
from apps.audits.models import Checkpoint, Entry, Head
from apps.core import clock
from apps.core.database import write_now
from apps.core.tenancy import tenant
from tests import guards
from tests.audits import chains
from tests.factories import TESTS

pytestmark = [pytest.mark.django_db, pytest.mark.security, pytest.mark.mission_critical]
MODELS = [Entry, Checkpoint]


@pytest.fixture
def sealed(acme):
    chains.grow(acme.pk, 3)
    chains.sign(acme.pk)
    return acme.pk


@pytest.fixture(params=["application", "owner"])
def refused(request):
    """Runs what must not be possible, for the application's role and for the tables' owner."""

    def run(action) -> bool:
        owner = request.param == "owner"
        acting = guards.as_owner() if owner else transaction.atomic()
        with TESTS, pytest.raises(Error) as caught, acting:
            action()
        said = str(caught.value)
        # PostgreSQL's application has no right to change these rows in the first place.
        return any(word in said for word in ("append-only", "sealed entry only")) or (
            not owner and "permission denied for table audits" in said
        )

    return run


def test_migrating_leaves_the_guards_in_place(db) -> None:
    ways = {"keep", "keep_all"}
    if connection.vendor == "sqlite":
        ways.add("keep_old")

    head = {"keep"}
    if connection.vendor == "sqlite":
        head |= {"keep_new", "keep_cut"}
    assert guards.triggers().keys() == {
        f"{table}_{way}" for table in guards.GUARDED for way in ways
    } | {f"audits_head_{way}" for way in head}


@pytest.mark.parametrize("model", MODELS)
def test_a_sealed_row_is_not_changed(sealed, model, refused) -> None:
    assert refused(lambda: model.objects.update(body="{}"))


@pytest.mark.parametrize("model", MODELS)
def test_a_sealed_row_is_not_deleted(sealed, model, refused) -> None:
    assert refused(lambda: model.objects.all().delete())
    assert refused(lambda: model.objects.first().delete())


@pytest.mark.parametrize("table", guards.GUARDED)
def test_a_table_of_sealed_rows_is_not_emptied(sealed, table, refused) -> None:
    word = "TRUNCATE" if connection.vendor == "postgresql" else "DELETE FROM"

    def empty() -> None:
        with connection.cursor() as cursor:
            cursor.execute(f"{word} {table}")

    assert refused(empty)


@pytest.mark.parametrize("table", guards.GUARDED)
def test_a_sealed_row_is_not_replaced(sealed, table) -> None:
    statement = (
        f"INSERT OR REPLACE INTO {table} SELECT * FROM {table}"  # noqa: S608 - names of ours
        if connection.vendor == "sqlite"
        else f"INSERT INTO {table} SELECT * FROM {table} ON CONFLICT (id) DO UPDATE SET body = '{{}}'"  # noqa: S608
    )

    def replace() -> None:
        with connection.cursor() as cursor:
            cursor.execute(statement)

    with TESTS, pytest.raises(Error), guards.as_owner():
        replace()
    assert chains.damage(sealed) == []


def cut(chain_id) -> None:
    """Cut a chain behind all that was signed, as retention does when that is long ago."""
    later = timezone.now() + timedelta(days=1)
    write_now(tenant(chain_id), lambda: retention.cut(chain_id, before=later))


@pytest.fixture
def old(acme):
    """Three entries of the day before yesterday, signed, and one of today."""
    with chains.days_ago(2):
        chains.grow(acme.pk, 3)
        chains.sign(acme.pk, now=clock.now())
    chains.grow(acme.pk)
    return acme.pk


def test_what_lies_before_a_cut_may_go_and_nothing_else(old, globex, refused) -> None:
    chains.grow(globex.pk, 3)
    cut(old)

    with TESTS:
        assert chains.entries(old).filter(seq__lt=4).delete()[0] == 3
    assert refused(lambda: chains.entries(old).delete())
    assert refused(lambda: chains.entries(globex.pk).filter(seq=1).delete())


@pytest.mark.parametrize("model", MODELS)
def test_what_is_of_the_last_day_stays_whatever_was_cut(sealed, model, refused) -> None:
    cut(sealed)

    assert refused(lambda: model.objects.filter(seq__lt=4).delete())


@pytest.mark.parametrize("seq", [2, 4, 5])
def test_a_chain_does_not_begin_later_without_the_entry_that_says_so(
    old, seq, refused
) -> None:
    assert refused(lambda: Head.objects.update(first_kept=seq))


def test_the_entry_of_an_earlier_cut_moves_no_head(old, refused) -> None:
    cut(old)
    with TESTS, guards.lifted():
        Head.objects.update(first_kept=2)

    chains.grow(old)
    assert refused(lambda: Head.objects.update(first_kept=4))


def test_a_head_is_not_put_in_the_place_of_another(old, globex, refused) -> None:
    assert refused(lambda: Head.objects.all().delete())
    assert refused(lambda: Head.objects.update(organisation_id=globex.pk))
    assert refused(
        lambda: Head.objects.create(
            organisation_id=globex.pk, seq=9, digest="0" * 64, first_kept=9
        )
    )


@pytest.mark.skipif(
    connection.vendor != "postgresql", reason="SQLite's guards see no such table"
)
def test_a_temporary_table_does_not_stand_in_for_the_heads(sealed) -> None:
    with tenant(sealed), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("CREATE TEMP TABLE audits_head (LIKE public.audits_head)")
        cursor.execute(
            "INSERT INTO pg_temp.audits_head SELECT * FROM public.audits_head"
        )
        cursor.execute("UPDATE pg_temp.audits_head SET first_kept = 1000000")
        with pytest.raises(Error, match="append-only"), transaction.atomic():
            cursor.execute("DELETE FROM public.audits_entry")
        cursor.execute("DROP TABLE pg_temp.audits_head")


def test_lifting_the_guards_in_a_test_puts_them_back(sealed, refused) -> None:
    before = guards.triggers()
    chains.tamper(sealed, 1, body="{}")

    assert guards.triggers() == before
    assert refused(lambda: Entry.objects.update(body="{}"))
