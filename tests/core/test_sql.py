"""Compiled statements: through the models' fields, and never without their organisation."""

from __future__ import annotations

import uuid

import pytest

from apps.audits import receipts
from apps.audits.models import Receipt
from apps.core import sql
from apps.core.tenancy import NoScopeError, tenant
from apps.executions.models import Stream
from tests.factories import TESTS

pytestmark = pytest.mark.django_db


@pytest.fixture
def row(alice_principal):
    who = alice_principal
    return {
        "id": uuid.uuid4(),
        "organisation_id": who.organisation_id,
        "user_id": who.user_id,
    }


def where(row) -> dict[str, object]:
    return {"id": row["id"], "organisation_id": row["organisation_id"]}


def read(row) -> Stream:
    with TESTS:
        return Stream.objects.get(id=row["id"])


def test_insert_takes_defaults_for_what_is_not_named(row) -> None:
    with TESTS:
        sql.insert(Stream, [row])

    stream = read(row)
    assert (stream.last, stream.first_kept) == (0, 1)
    assert isinstance(stream.epoch, uuid.UUID)


def test_insert_writes_many_rows_in_one_statement(
    row, django_assert_num_queries
) -> None:
    rows = [row | {"id": uuid.uuid4(), "last": n} for n in range(5)]

    with TESTS, django_assert_num_queries(1):
        sql.insert(Stream, rows)
    with TESTS:
        assert sorted(Stream.objects.values_list("last", flat=True)) == [0, 1, 2, 3, 4]


def test_upsert_sets_the_named_values_where_the_key_is_there(
    row, django_assert_num_queries
) -> None:
    with TESTS:
        sql.insert(Stream, [row | {"last": 1, "first_kept": 2}])
    epoch = read(row).epoch
    other = row | {"id": uuid.uuid4()}

    with TESTS, django_assert_num_queries(1):
        sql.upsert(
            Stream,
            [row | {"last": 7}, other | {"last": 8}],
            key=("id",),
            values=("last",),
        )

    changed = read(row)
    assert (changed.last, changed.first_kept, changed.epoch) == (7, 2, epoch)
    assert read(other).last == 8


@pytest.mark.security
def test_upsert_refuses_rows_of_another_organisation(row, globex) -> None:
    with tenant(globex.pk), pytest.raises(sql.ForeignRowError):
        sql.upsert(Stream, [row], key=("id",), values=("last",))


def test_insert_of_nothing_asks_nothing(django_assert_num_queries) -> None:
    with django_assert_num_queries(0):
        sql.insert(Stream, [])


def test_swap_changes_the_row_that_is_as_expected(row) -> None:
    with TESTS:
        sql.insert(Stream, [row])

        assert sql.swap(Stream, where=where(row) | {"last": 0}, values={"last": 7})
    assert read(row).last == 7


def test_swap_changes_nothing_when_the_row_has_moved_on(row) -> None:
    with TESTS:
        sql.insert(Stream, [row])

        assert not sql.swap(Stream, where=where(row) | {"last": 3}, values={"last": 7})
    assert read(row).last == 0


def test_swap_compares_with_null(alice_principal, row) -> None:
    with TESTS:
        sql.insert(Stream, [row])

        assert not sql.swap(
            Stream, where=where(row) | {"epoch": None}, values={"last": 7}
        )


def test_swap_takes_lists_of_values(row) -> None:
    with TESTS:
        sql.insert(Stream, [row])

        missed = sql.swap(
            Stream, where=where(row), where_in={"last": [1, 2]}, values={"last": 9}
        )
        hit = sql.swap(
            Stream, where=where(row), where_in={"last": [0, 1]}, values={"last": 9}
        )
    assert (missed, hit) == (False, True)


def test_advance_returns_the_new_number(row) -> None:
    with TESTS:
        sql.insert(Stream, [row])

        assert sql.advance(Stream, where=where(row), column="last", by=3) == 3
        assert sql.advance(Stream, where=where(row), column="last", by=1) == 4


def test_advance_of_an_absent_row_is_none(row) -> None:
    with TESTS:
        assert sql.advance(Stream, where=where(row), column="last", by=1) is None


@pytest.mark.parametrize("given", ["absent", None])
def test_no_statement_goes_without_an_organisation(given, row) -> None:
    bad = dict(row)
    if given is None:
        bad["organisation_id"] = None
    else:
        del bad["organisation_id"]

    with TESTS:
        with pytest.raises(ValueError, match="organisation"):
            sql.insert(Stream, [bad])
        with pytest.raises(ValueError, match="organisation"):
            sql.swap(Stream, where=bad, values={"last": 1})
        with pytest.raises(ValueError, match="organisation"):
            sql.advance(Stream, where=bad, column="last", by=1)


@pytest.mark.security
@pytest.mark.mission_critical
def test_a_tenant_writes_no_row_of_another_organisation(row, mallory_principal) -> None:
    with TESTS:
        sql.insert(Stream, [row])

    with mallory_principal.scope:
        with pytest.raises(sql.ForeignRowError):
            sql.insert(Stream, [row | {"id": uuid.uuid4()}])
        with pytest.raises(sql.ForeignRowError):
            sql.swap(Stream, where=where(row), values={"last": 666})
        with pytest.raises(sql.ForeignRowError):
            sql.advance(Stream, where=where(row), column="last", by=666)
    assert read(row).last == 0


@pytest.mark.security
def test_no_statement_runs_outside_a_scope(row) -> None:
    with pytest.raises(NoScopeError):
        sql.insert(Stream, [row])
    with pytest.raises(NoScopeError):
        sql.swap(Stream, where=where(row), values={"last": 1})


@pytest.mark.security
def test_a_foreign_row_is_not_found_under_ones_own_organisation(
    row, mallory_principal
) -> None:
    with TESTS:
        sql.insert(Stream, [row])
    disguised = where(row) | {"organisation_id": mallory_principal.organisation_id}

    with mallory_principal.scope:
        assert not sql.swap(Stream, where=disguised, values={"last": 666})
        assert sql.advance(Stream, where=disguised, column="last", by=666) is None
    assert read(row).last == 0


@pytest.mark.regression
def test_an_empty_list_of_values_is_met_by_no_row(row) -> None:
    with TESTS:
        sql.insert(Stream, [row])

        assert not sql.swap(
            Stream, where=where(row), where_in={"epoch": []}, values={"last": 9}
        )
        assert not sql.select(Stream, ("id",), where=where(row), where_in={"epoch": []})


@pytest.mark.security
def test_values_go_as_parameters_and_never_into_the_statement(row) -> None:
    hostile = "'); DROP TABLE audits_receipt; --"
    with TESTS:
        refusal = {name: row[name] for name in ("organisation_id", "user_id")}
        receipt = receipts.record(
            receipts.Refusal(**refusal, code="x", explanation=hostile)
        )

        assert Receipt.objects.get(id=receipt).explanation == hostile


def test_a_tenants_own_rows_are_written_in_its_scope(row) -> None:
    with tenant(row["organisation_id"]):
        sql.insert(Stream, [row])

        assert sql.swap(Stream, where=where(row), values={"last": 1})
