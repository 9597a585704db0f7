"""Every sum and percentile against the same figures computed in plain Python."""

from __future__ import annotations

import random
from collections import defaultdict
from datetime import UTC, timedelta
from decimal import Decimal

import pytest
from django.utils import timezone

from apps.core.database import write_now
from apps.core.tenancy import tenant
from apps.usage import actions, queries
from apps.usage.models import Record
from apps.usage.periods import parse_period
from tests import factories
from tests.usage import ledger

MODELS = (
    ("openai", "gpt-4o"),
    ("openai", "gpt-4o-mini"),
    ("mistral", "mistral-large-latest"),
)
STATUSES = ("ok", "ok", "ok", "error", "timeout", "rate_limited")


@pytest.fixture
def now():
    return timezone.now()


@pytest.fixture
def calls(now):
    """Some hundred calls of sixty days, drawn alike each time."""
    draw = random.Random(7)  # noqa: S311 - alike each time
    found = []
    for _ in range(400):
        provider, model = draw.choice(MODELS)
        tokens = draw.randrange(5_000)
        found.append(
            ledger.call(
                now - timedelta(seconds=draw.randrange(1, 60 * 86_400)),
                provider=provider,
                model=model,
                feature=draw.choice(("bot", "search", "")),
                input_tokens=tokens,
                output_tokens=draw.randrange(900),
                cached_tokens=draw.randrange(tokens + 1),
                cacheable_tokens=draw.randrange(tokens + 1),
                latency_ms=draw.randrange(0, 9_000),
                status=draw.choice(STATUSES),
                error=draw.choice(("", "502", "reset")),
                cost_usd=Decimal(draw.randrange(50_000)) / 1_000_000,
            )
        )
    return found


@pytest.fixture
def books(acme, globex, calls, now, alice_principal):
    """Acme's calls, beside rows that must never be counted: globex' and Netra's own."""
    ledger.write(acme.pk, calls)
    ledger.write(
        globex.pk,
        [
            ledger.call(now - timedelta(days=n), cost_usd=Decimal(999))
            for n in range(1, 40)
        ],
    )
    standing = factories.execution(alice_principal)
    write_now(
        alice_principal.scope,
        lambda: actions.record_execution(
            organisation_id=acme.pk,
            execution_id=standing.id,
            agent="analyst",
            model="openai:gpt-4o",
            tokens=(10, 10),
            cost=Decimal(777),
            at=now - timedelta(days=1),
        ),
    )
    with tenant(acme.pk):
        yield acme


def near(amount):
    return pytest.approx(amount, abs=Decimal("0.000001"))


def within(calls, start, end):
    return [call for call in calls if start <= call.at < end]


def test_totals_are_the_sums_of_the_companys_calls(books, calls, now):
    period = parse_period("30d", now=now)
    mine = within(calls, period.start, period.end)

    totals = queries.totals(period.start, period.end)

    assert totals.calls == len(mine) > 100
    assert totals.cost == near(sum(call.cost_usd for call in mine))
    assert totals.failed == sum(call.status != "ok" for call in mine)
    for name in ("input_tokens", "output_tokens", "cached_tokens", "cacheable_tokens"):
        assert getattr(totals, name) == sum(getattr(call, name) for call in mine)


def test_an_empty_stretch_comes_to_nothing(books, now):
    totals = queries.totals(now - timedelta(days=900), now - timedelta(days=800))

    assert totals.calls == totals.failed == totals.input_tokens == 0
    assert totals.cost == totals.cost_per_call == 0


def test_free_answers_with_tokens_are_counted_as_unpriced(acme, now):
    ledger.write(
        acme.pk,
        [
            ledger.call(now - timedelta(hours=1), cost_usd=Decimal(0)),
            ledger.call(now - timedelta(hours=1), cost_usd=Decimal(0), status="error"),
            ledger.call(
                now - timedelta(hours=1),
                cost_usd=Decimal(0),
                input_tokens=0,
                output_tokens=0,
            ),
            ledger.call(now - timedelta(hours=1)),
        ],
    )

    with tenant(acme.pk):
        assert queries.totals(now - timedelta(days=1), now).unpriced == 1


@pytest.mark.parametrize(
    "columns",
    [
        ("feature",),
        ("provider",),
        ("provider", "model"),
        ("feature", "provider", "model"),
    ],
)
def test_slices_compare_each_group_with_the_period_before(books, calls, now, columns):
    period = parse_period("30d", now=now)
    present, before = defaultdict(Decimal), defaultdict(Decimal)
    for call in calls:
        key = tuple(getattr(call, column) for column in columns)
        if period.start <= call.at < period.end:
            present[key] += call.cost_usd
        elif period.before_start <= call.at < period.before_end:
            before[key] += call.cost_usd

    slices = queries.slices(columns, period)

    assert {one.key: one.present.cost for one in slices} == {
        key: near(present[key]) for key in present | before
    }
    assert {one.key: one.before.cost for one in slices} == {
        key: near(before[key]) for key in present | before
    }
    assert [one.present.cost for one in slices] == sorted(
        (one.present.cost for one in slices), reverse=True
    )
    assert sum(one.present.cost for one in slices) == near(
        queries.totals(period.start, period.end).cost
    )


def test_the_gap_before_a_running_month_counts_for_neither_side(acme, now):
    month = parse_period(f"{now:%Y-%m}", now=now)
    calls = [ledger.call(month.before_start), ledger.call(month.start)]
    if month.before_end < month.start:
        calls.append(ledger.call(month.before_end))
    ledger.write(acme.pk, calls)

    with tenant(acme.pk):
        (one,) = queries.slices(("feature",), month)

    assert (one.before.calls, one.present.calls) == (1, 1)


def test_days_are_utc_days_and_add_up(books, calls, now):
    period = parse_period("30d", now=now)
    costs = defaultdict(Decimal)
    for call in within(calls, period.start, period.end):
        costs[call.at.astimezone(UTC).date()] += call.cost_usd

    days = queries.days(period.start, period.end)

    assert {one.day: one.cost for one in days} == {
        day: near(cost) for day, cost in costs.items()
    }
    assert [one.day for one in days] == sorted(costs)


def test_days_of_one_feature_leave_the_others_out(books, calls, now):
    start = now - timedelta(days=30)

    days = queries.days(start, now, feature="bot")

    assert sum(one.calls for one in days) == sum(
        call.feature == "bot" for call in within(calls, start, now)
    )


@pytest.mark.parametrize("columns", [("provider",), ("provider", "model")])
def test_percentiles_are_nearest_ranks_of_answered_calls(books, calls, now, columns):
    start = now - timedelta(days=60)
    groups = defaultdict(list)
    for call in within(calls, start, now):
        if call.status == "ok" and call.latency_ms > 0:
            groups[tuple(getattr(call, column) for column in columns)].append(
                call.latency_ms
            )

    found = {one.key: one for one in queries.latencies(columns, start, now)}

    assert found.keys() == groups.keys()
    for key, latencies in groups.items():
        latencies.sort()
        for percent in (50, 95, 99):
            rank = -(-len(latencies) * percent // 100)
            assert getattr(found[key], f"p{percent}") == latencies[rank - 1]
        assert found[key].calls == len(latencies)


def test_one_call_is_every_percentile(acme, now):
    ledger.write(acme.pk, [ledger.call(now - timedelta(hours=1), latency_ms=321)])

    with tenant(acme.pk):
        (one,) = queries.latencies(("provider",), now - timedelta(days=1), now)

    assert (one.p50, one.p95, one.p99) == (321, 321, 321)


def test_failures_are_grouped_by_what_they_have_in_common(books, calls, now):
    start = now - timedelta(days=60)
    groups = defaultdict(list)
    for call in within(calls, start, now):
        if call.status != "ok":
            groups[
                call.provider, call.model, call.feature, call.status, call.error
            ].append(call.at)

    found = queries.failures(start, now, limit=1_000)

    assert {
        (f.provider, f.model, f.feature, f.status, f.error): f.count for f in found
    } == {key: len(times) for key, times in groups.items()}
    assert all(
        (f.first_at, f.last_at) == (min(times), max(times))
        for f in found
        for times in [groups[f.provider, f.model, f.feature, f.status, f.error]]
    )
    assert [f.count for f in found] == sorted((f.count for f in found), reverse=True)
    assert queries.failures(start, now, limit=2) == found[:2]
    by_status = queries.failed_statuses(start, now)
    assert sum(by_status.values()) == sum(f.count for f in found)
    assert "ok" not in by_status


def test_the_records_reach_from_the_oldest_to_the_newest_call(books, calls):
    assert queries.oldest() == min(call.at for call in calls)
    assert queries.newest() == max(call.at for call in calls)


def test_an_organisation_without_calls_has_no_reach_and_no_jump(globex, now):
    with tenant(globex.pk):
        assert queries.oldest() is queries.newest() is None
        assert queries.jump(parse_period("30d", now=now)) is None


def test_a_jump_names_the_feature_the_switch_and_its_day(acme, now):
    month = ledger.last_month(now)
    earlier = ledger.month_before(month)
    calls = [
        ledger.call(day, feature="bot", model="gpt-4o-mini")
        for day in ledger.days_of(earlier)
    ]
    calls += [
        ledger.call(day, feature="bot", model="gpt-4o", cost_usd=Decimal("0.3"))
        for day in ledger.days_of(month)
    ]
    calls += [
        ledger.call(day) for day in ledger.days_of(earlier) + ledger.days_of(month)
    ]
    ledger.write(acme.pk, calls)

    with tenant(acme.pk):
        jump = queries.jump(parse_period(f"{month:%Y-%m}", now=now))

    assert jump is not None
    assert jump.feature.name == "bot"
    assert jump.switch is not None
    assert (jump.switch.source, jump.switch.target) == (
        ("openai", "gpt-4o-mini"),
        ("openai", "gpt-4o"),
    )
    assert jump.since == jump.switch.on == month.date()


def test_a_jump_in_volume_has_a_day_and_no_switch(acme, now):
    start = (now - timedelta(days=50)).replace(hour=12)
    calls = [
        ledger.call(start + timedelta(days=n))
        for n in range(49)
        for _ in range(1 if n < 30 else 12)
    ]
    ledger.write(acme.pk, calls)

    with tenant(acme.pk):
        jump = queries.jump(parse_period("30d", now=now))

    assert jump is not None
    assert jump.switch is None
    assert jump.since == (start + timedelta(days=30)).date()


@pytest.mark.security
def test_another_organisation_sees_only_its_own(books, globex, now):
    with tenant(globex.pk):
        totals = queries.totals(now - timedelta(days=365), now)

        assert totals.calls == 39
        assert {
            one.key
            for one in queries.slices(("feature",), parse_period("90d", now=now))
        } == {("search",)}


@pytest.mark.performance
def test_each_question_is_one_query(books, now, django_assert_num_queries):
    period = parse_period("30d", now=now)

    for ask in (
        lambda: queries.totals(period.start, period.end),
        lambda: queries.slices(("feature", "provider", "model"), period),
        lambda: queries.days(period.start, period.end),
        lambda: queries.latencies(("provider", "model"), period.start, period.end),
        lambda: queries.failures(period.start, period.end, limit=10),
    ):
        with django_assert_num_queries(1):
            ask()


def test_the_ledger_of_this_test_holds_what_must_not_be_counted(books, acme):
    assert Record.objects.filter(source=Record.Source.NETRA).count() == 1
