"""The database itself keeps sealed rows: no update, no delete, no emptying, whatever the code says."""

from __future__ import annotations

import pytest
from django.db import Error, connection, transaction

from apps.audits.models import Checkpoint, Entry, Head
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
        return "append-only" in said or (
            not owner and "permission denied for table audits" in said
        )

    return run


def test_migrating_leaves_the_guards_in_place(db) -> None:
    ways = {"keep", "keep_all"}
    if connection.vendor == "sqlite":
        ways.add("keep_old")

    assert guards.triggers().keys() == {
        f"{table}_{way}" for table in guards.GUARDED for way in ways
    }


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


def test_what_lies_before_a_cut_may_go_and_nothing_else(
    sealed, globex, refused
) -> None:
    chains.grow(globex.pk, 3)
    with TESTS:
        Head.objects.filter(organisation_id=sealed).update(first_kept=3)
        chains.entries(sealed).filter(seq__lt=3).delete()

    assert refused(lambda: chains.entries(sealed).delete())
    assert refused(lambda: chains.entries(globex.pk).filter(seq=1).delete())


def test_lifting_the_guards_in_a_test_puts_them_back(sealed, refused) -> None:
    before = guards.triggers()
    chains.tamper(sealed, 1, body="{}")

    assert guards.triggers() == before
    assert refused(lambda: Entry.objects.update(body="{}"))
