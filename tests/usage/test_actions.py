"""Recording calls: all or none, once for each id, never across organisations."""

from __future__ import annotations

import uuid
from dataclasses import replace
from datetime import datetime
from decimal import Decimal

import pytest
from django.utils import timezone

from apps.core.database import write_now
from apps.core.errors import InvalidInputError
from apps.core.tenancy import NoScopeError, system, tenant
from apps.usage import actions, prices
from apps.usage.actions import Recorded
from apps.usage.models import Record
from tests.usage import ledger

SYSTEM = system("tests")


def rows_of(organisation):
    with tenant(organisation.pk):
        return list(Record.objects.order_by("at"))


def test_calls_are_recorded_for_the_organisation_of_the_scope(acme):
    now = timezone.now()

    recorded = ledger.write(
        acme.pk, [ledger.call(now, feature="bot", status="error", error="502")]
    )

    (row,) = rows_of(acme)
    assert recorded == Recorded(new=1)
    assert row.organisation_id == acme.pk
    assert (row.source, row.at, row.feature) == (Record.Source.COMPANY, now, "bot")
    assert (row.status, row.error, row.cost_usd) == ("error", "502", Decimal("0.01"))
    assert row.execution_id is None


def test_the_same_id_changes_nothing(acme):
    first = ledger.call(timezone.now(), id="r1", cost_usd=Decimal(1))
    ledger.write(acme.pk, [first])

    again = ledger.write(
        acme.pk, [replace(first, cost_usd=Decimal(9)), ledger.call(first.at, id="r2")]
    )

    assert again == Recorded(new=1, known=1)
    assert sorted(row.cost_usd for row in rows_of(acme)) == [
        Decimal("0.01"),
        Decimal(1),
    ]


def test_the_same_id_twice_in_one_list_is_one_call(acme):
    call = ledger.call(timezone.now(), id=uuid.uuid4())

    assert ledger.write(acme.pk, [call, replace(call, id=str(call.id))]) == Recorded(
        new=1
    )
    assert len(rows_of(acme)) == 1


@pytest.mark.security
def test_equal_ids_of_two_organisations_never_meet(acme, globex):
    call = ledger.call(timezone.now(), id="req-1")
    ledger.write(acme.pk, [call])

    assert ledger.write(globex.pk, [replace(call, feature="theirs")]) == Recorded(new=1)

    assert [row.feature for row in rows_of(acme)] == ["search"]
    assert [row.feature for row in rows_of(globex)] == ["theirs"]


def test_a_call_without_a_cost_is_priced_and_one_of_an_unknown_model_is_counted(acme):
    now = timezone.now()
    known = ledger.call(now, cost_usd=None, cached_tokens=300)
    unknown = ledger.call(now, cost_usd=None, model="home-made")

    recorded = ledger.write(acme.pk, [known, unknown])

    assert recorded == Recorded(new=2, unpriced=1)
    costs = {row.model: row.cost_usd for row in rows_of(acme)}
    assert costs["gpt-4o-mini"] == prices.cost_usd(
        "openai", "gpt-4o-mini", 1_000, 100, 300, now
    )
    assert costs["home-made"] == 0


def test_more_than_a_batch_is_written(acme):
    now = timezone.now()
    count = actions.BATCH * 2 + 3

    assert ledger.write(acme.pk, [ledger.call(now) for _ in range(count)]).new == count
    assert len(rows_of(acme)) == count


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("id", ""),
        ("id", " "),
        ("id", "x" * 129),
        ("id", "a\x00b"),
        ("provider", ""),
        ("model", "  "),
        ("model", "m" * 129),
        ("feature", "f" * 101),
        ("feature", "\ud800"),
        ("error", "e" * 201),
        ("error", "nul\x00"),
        ("at", datetime(2026, 1, 1)),  # noqa: DTZ001 - that is the fault
        ("input_tokens", -1),
        ("output_tokens", 2**31),
        ("cached_tokens", 1_001),
        ("cacheable_tokens", 1_001),
        ("latency_ms", -5),
        ("status", "fine"),
        ("cost_usd", Decimal("-0.01")),
        ("cost_usd", Decimal("NaN")),
        ("cost_usd", Decimal("Infinity")),
        ("cost_usd", Decimal(10) ** 9),
    ],
)
def test_a_broken_rule_is_named_and_nothing_at_all_is_written(acme, field, value):
    now = timezone.now()

    with pytest.raises(InvalidInputError) as refused:
        ledger.write(acme.pk, [ledger.call(now), ledger.call(now, **{field: value})])

    assert refused.value.field == f"[1].{field}"
    assert refused.value.fix
    assert rows_of(acme) == []


def test_without_an_organisation_nothing_can_be_recorded(acme):
    with pytest.raises(NoScopeError):
        write_now(SYSTEM, lambda: actions.record_usage([ledger.call(timezone.now())]))
