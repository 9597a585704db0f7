"""The stories in the demo's usage, recomputed by plain sums."""

from __future__ import annotations

import math
from collections import defaultdict
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from functools import lru_cache
from itertools import pairwise

import pytest

from apps.accounts.models import Organisation
from apps.core.database import write_now
from apps.core.tenancy import tenant
from apps.ops.demo import records, spending
from apps.ops.demo.spending import Story, calls_of, days_before
from apps.usage.models import Record
from apps.usage.prices import cost_usd, rates_of

TODAYS = [date(2026, 11, 21), date(2027, 3, 1), date(2027, 3, 31), date(2028, 2, 29)]


@pytest.fixture(params=TODAYS, ids=str)
def today(request: pytest.FixtureRequest) -> date:
    return request.param


@lru_cache(maxsize=8)
def calls(slug: str, today: date) -> list[spending.Call]:
    story = Story.told_on(today)
    return [call for day in days_before(today) for call in calls_of(slug, day, story)]


def dollars(call: spending.Call) -> Decimal:
    rates = rates_of(call.provider, call.model)
    assert rates is not None
    return rates.cost(call.input_tokens, call.output_tokens, call.cached_tokens)


def p95(values: list[int]) -> int:
    return sorted(values)[math.ceil(0.95 * len(values)) - 1]


def test_the_same_day_gives_the_same_calls_and_another_seed_others():
    today = TODAYS[0]
    story, day = Story.told_on(today), today - timedelta(days=3)

    assert calls_of("acme", day, story) == calls_of("acme", day, story)
    assert calls_of("acme", day, story) != calls_of("acme", day, story, seed=1)
    assert calls_of("acme", day, story) != calls_of(
        "acme", day - timedelta(days=7), story
    )


def test_ninety_days_end_with_yesterday(today: date):
    days = days_before(today)

    assert len(days) == 90
    assert days[-1] == today - timedelta(days=1)
    assert all(b - a == timedelta(days=1) for a, b in pairwise(days))


def test_the_volumes_are_those_of_a_large_and_a_small_company(today: date):
    assert 15_000 <= len(calls("acme", today)) <= 20_000
    assert 4_500 <= len(calls("globex", today)) <= 6_000


def test_support_bot_gets_dear_on_the_first_day_of_last_month(today: date):
    change = Story.told_on(today).model_change
    before: dict[date, Decimal] = defaultdict(Decimal)
    after: dict[date, Decimal] = defaultdict(Decimal)
    models = set()
    for call in calls("acme", today):
        if call.feature == "support-bot":
            day = call.at.date()
            (after if day >= change else before)[day] += dollars(call)
            models.add((day >= change, call.model))

    assert change.day == 1
    assert (today.replace(day=1) - change).days in range(28, 32)
    assert models == {(False, "gpt-4.1-mini"), (True, "claude-opus-4-5")}
    assert len(before) >= 28, "there is a whole month to compare with"
    assert sum(after.values()) / len(after) > 8 * sum(before.values()) / len(before)


def test_the_companys_bill_jumps_with_it_and_globex_has_no_jump(today: date):
    change = Story.told_on(today).model_change

    def ratio(slug: str) -> Decimal:
        daily: dict[bool, list[Decimal]] = {True: [], False: []}
        for call in calls(slug, today):
            daily[call.at.date() >= change].append(dollars(call))
        days = {True: (today - change).days}
        days[False] = 90 - days[True]
        return (sum(daily[True]) / days[True]) / (sum(daily[False]) / days[False])

    assert ratio("acme") > 2
    assert Decimal("0.8") < ratio("globex") < Decimal("1.25")


def test_mistral_is_several_times_slower_than_the_others_and_times_out(today: date):
    latency: dict[str, list[int]] = defaultdict(list)
    timeouts: dict[str, int] = defaultdict(int)
    for call in calls("acme", today):
        latency[call.provider].append(call.latency_ms)
        timeouts[call.provider] += call.status == "timeout"
    slow = p95(latency.pop("mistral"))

    assert all(slow > 4 * p95(values) for values in latency.values())
    assert timeouts.pop("mistral") > 20
    assert not any(timeouts.values())


def test_two_fifths_of_the_input_of_contract_summaries_could_be_cached_and_none_is(
    today: date,
):
    rows = [c for c in calls("acme", today) if c.feature == "contract-summaries"]

    assert (
        sum(c.cacheable_tokens for c in rows) * 5
        == sum(c.input_tokens for c in rows) * 2
    )
    assert sum(c.cached_tokens for c in rows) == 0


def test_one_working_day_has_a_burst_of_rate_limited_calls(today: date):
    limited = [c for c in calls("acme", today) if c.status == "rate_limited"]

    assert len(limited) == spending.BURST_CALLS
    assert len({c.at.date() for c in limited}) == 1
    assert limited[0].at.weekday() < spending.SATURDAY
    assert max(c.at for c in limited) - min(c.at for c in limited) < timedelta(hours=1)
    assert today - limited[0].at.date() <= timedelta(days=11)
    assert not any(dollars(c) for c in limited)


def test_working_days_and_office_hours_are_busier(today: date):
    by_day: dict[date, int] = defaultdict(int)
    night = noon = 0
    for call in calls("acme", today):
        by_day[call.at.date()] += 1
        night += call.at.hour < 4
        noon += 9 <= call.at.hour < 13
    weekend = [n for day, n in by_day.items() if day.weekday() >= spending.SATURDAY]
    working = [n for day, n in by_day.items() if day.weekday() < spending.SATURDAY]

    assert max(weekend) < min(working)
    assert noon > 10 * night


def test_the_companies_use_other_features_and_models():
    today = TODAYS[0]
    acme, globex = calls("acme", today), calls("globex", today)

    assert not {c.feature for c in acme} & {c.feature for c in globex}
    assert not {c.model for c in acme} & {c.model for c in globex}


# -- as rows ---------------------------------------------------------------------------


def fill(organisation: Organisation, today: date) -> int:
    return write_now(tenant(organisation.pk), lambda: records.fill(organisation, today))


def test_every_record_costs_what_the_price_list_says(acme: Organisation, monkeypatch):
    monkeypatch.setattr(spending, "DAYS", 12)
    fill(acme, datetime.now(UTC).date())

    with tenant(acme.pk):
        rows = list(Record.objects.all())

    assert len({(row.provider, row.model) for row in rows}) == 5
    for row in rows[::7]:
        tokens = (row.input_tokens, row.output_tokens, row.cached_tokens)
        assert row.cost_usd == cost_usd(row.provider, row.model, *tokens), row
        assert row.source == Record.Source.COMPANY


def test_filling_twice_adds_nothing_and_a_later_day_only_what_is_missing(
    acme: Organisation, globex: Organisation, monkeypatch
):
    monkeypatch.setattr(spending, "DAYS", 12)
    today = datetime.now(UTC).date()
    later = today + timedelta(days=3)
    first = fill(acme, today)

    assert fill(acme, today) == 0
    added = fill(acme, later)

    with tenant(acme.pk):
        rows = Record.objects.all()
        assert rows.count() == first + added
        assert rows.latest("at").at.date() == later - timedelta(days=1)
        new = rows.filter(at__gte=datetime.combine(today, time(), UTC))
        assert new.count() == added
        assert set(
            new.filter(feature="support-bot").values_list("model", flat=True)
        ) == {"claude-opus-4-5"}
    with tenant(globex.pk):
        assert not Record.objects.exists()
