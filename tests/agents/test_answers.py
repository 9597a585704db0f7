"""What the answers say in the less usual situations, each from its own small ledger."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest
from django.utils import timezone

from tests.agents.conversation import ask
from tests.usage import ledger


@pytest.fixture
def now():
    return timezone.now()


@pytest.fixture
def steady(committed, acme, now):
    ledger.write(
        acme.pk, [ledger.call(now - timedelta(days=n, hours=1)) for n in range(60)]
    )


async def test_where_nothing_jumped_the_answer_says_so(steady, alice_principal):
    text, _ = await ask(
        alice_principal, "why did our costs rise?", today=timezone.now().date()
    )

    assert "### Spend did not jump in the last 30 days: ±0.00 USD (+0.0 %)" in text
    assert "**Why.**" not in text


@pytest.fixture
def young(committed, acme, now):
    ledger.write(acme.pk, [ledger.call(now - timedelta(hours=n + 1)) for n in range(5)])


async def test_without_an_earlier_period_no_jump_is_claimed(young, alice_principal):
    text, _ = await ask(
        alice_principal, "where did spend jump?", today=timezone.now().date()
    )

    assert "nothing recorded before it to compare with" in text
    assert "rose" not in text


async def test_a_period_without_records_is_told_apart_from_no_records_at_all(
    young, alice_principal
):
    text, _ = await ask(
        alice_principal, "what did we spend in 2021-01?", today=timezone.now().date()
    )

    assert "### No calls are recorded for January 2021" in text
    assert "Your records reach from" in text


def twice(now, acme, *, before, present):
    """`before` and `present`: (feature, calls, cost of each), in the two periods of 30 days."""
    calls = [
        ledger.call(
            now - timedelta(days=days, minutes=n),
            feature=feature,
            cost_usd=Decimal(cost),
        )
        for days, rows in ((45, before), (15, present))
        for feature, count, cost in rows
        for n in range(count)
    ]
    ledger.write(acme.pk, calls)


@pytest.fixture
def busier(committed, acme, now):
    twice(now, acme, before=[("bot", 10, "0.1")], present=[("bot", 40, "0.1")])


async def test_more_calls_of_the_same_model_are_told_as_such(busier, alice_principal):
    text, _ = await ask(
        alice_principal, "why did spend rise?", today=timezone.now().date()
    )

    assert "### Spend rose by 3.00 USD (+300 %) in the last 30 days" in text
    assert "`bot` did not change its model; the cause is more calls." in text
    assert (
        "from 10 to 40 (+300 %), and the average call from 0.100 USD to 0.100 USD."
        in text
    )
    assert (
        "**Check whether the calls of `bot` are wanted**: they cost 3.00 USD more than before."
        in text
    )


@pytest.fixture
def dearer(committed, acme, now):
    twice(now, acme, before=[("bot", 10, "0.1")], present=[("bot", 10, "0.3")])


async def test_dearer_calls_of_the_same_model_are_told_as_such(dearer, alice_principal):
    text, _ = await ask(
        alice_principal, "why did spend rise?", today=timezone.now().date()
    )

    assert "the cause is dearer calls." in text
    assert "3.0 times as much" in text


@pytest.fixture
def mixed(committed, acme, now):
    twice(
        now,
        acme,
        before=[("old", 50, "0.2")],
        present=[("old", 10, "0.2"), ("fresh", 10, "0.1")],
    )


async def test_a_rise_inside_a_fall_is_told_as_both(mixed, alice_principal):
    text, _ = await ask(
        alice_principal, "where did spend jump?", today=timezone.now().date()
    )

    assert "### Spend fell by 7.00 USD in the last 30 days, but `fresh` rose" in text
    assert "from 0.00 USD to 1.00 USD (new)" in text
    assert (
        "`fresh` is new: 10 calls for 1.00 USD, and none in the period before." in text
    )


async def test_a_plain_cost_question_names_what_rose_most(busier, alice_principal):
    text, _ = await ask(
        alice_principal, "what did we spend?", today=timezone.now().date()
    )

    assert "### 4.00 USD in the last 30 days" in text
    assert "In the 30 days before it was 1.00 USD (+300 %). 40 calls were made." in text
    assert "**What rose most.** `bot`" in text


async def test_where_nothing_can_be_saved_the_answer_says_so(busier, alice_principal):
    text, _ = await ask(
        alice_principal, "how can we save?", today=timezone.now().date()
    )

    assert "I found no saving that is worth a cent" in text


async def test_a_single_provider_is_named_without_a_comparison(busier, alice_principal):
    text, _ = await ask(alice_principal, "latency?", today=timezone.now().date())

    assert (
        "### Your one provider, `openai`, has a p95 of 800 ms in the last 30 days"
        in text
    )


@pytest.fixture
def alike(committed, acme, now):
    calls = [
        ledger.call(now - timedelta(hours=1), provider=name)
        for name in ("openai", "google")
    ]
    ledger.write(acme.pk, calls)


async def test_providers_that_are_alike_are_not_called_slow(alike, alice_principal):
    text, _ = await ask(alice_principal, "who is slow?", today=timezone.now().date())

    assert "### No provider stands out: the slowest p95 is 800 ms" in text


@pytest.fixture
def untimed(committed, acme, now):
    ledger.write(acme.pk, [ledger.call(now - timedelta(hours=1), latency_ms=0)])


async def test_calls_without_a_latency_are_told_apart_from_no_calls(
    untimed, alice_principal
):
    text, _ = await ask(alice_principal, "who is slow?", today=timezone.now().date())

    assert "No answered call of that time was recorded with a latency" in text


async def test_nothing_failed_is_an_answer(busier, alice_principal):
    text, _ = await ask(alice_principal, "any errors?", today=timezone.now().date())

    assert "### Nothing failed in the last 30 days" in text
    assert "All 40 recorded calls were answered." in text


async def test_failures_of_a_named_month_are_said_to_be_of_thirty_days(
    busier, alice_principal
):
    text, _ = await ask(
        alice_principal, "any errors last month?", today=timezone.now().date()
    )

    assert text.startswith("Failures are always shown for the last 30 days.")


@pytest.fixture
def slower(committed, acme, now):
    ledger.write(
        acme.pk,
        [
            ledger.call(now - timedelta(days=days), latency_ms=ms)
            for days, ms in ((45, 500), (15, 1_400))
        ],
    )


async def test_a_provider_that_got_slower_is_asked_what_changed(
    slower, alice_principal
):
    text, _ = await ask(alice_principal, "latency?", today=timezone.now().date())

    assert "**Ask `openai` what changed**: its p95 went from 500 ms to 1.4 s." in text


@pytest.fixture
def unpriced(committed, acme, now):
    ledger.write(
        acme.pk,
        [ledger.call(now - timedelta(hours=1), model="home-made", cost_usd=None)],
    )


async def test_calls_without_a_price_are_not_passed_off_as_free(
    unpriced, alice_principal
):
    text, _ = await ask(alice_principal, "summary", today=timezone.now().date())

    assert "1 call of models without a known price counted as 0 USD" in text
