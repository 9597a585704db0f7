"""Savings: which options are offered, and what each is worth."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from apps.usage import prices, savings
from apps.usage.figures import Slice, Totals
from apps.usage.savings import Kind

AT = datetime(2026, 10, 1, tzinfo=UTC)


def listed(provider, model, tokens_in, tokens_out, cached=0):
    rates = prices.rates_of(provider, model)
    assert rates is not None
    return rates.cost(tokens_in, tokens_out, cached)


def slice_of(
    feature, provider, model, *, before=0, calls=100, discount=1, cacheable=0, cached=0
):
    tokens_in, tokens_out = 1_000_000 if calls else 0, 100_000 if calls else 0
    cost = listed(provider, model, tokens_in, tokens_out, cached) * Decimal(
        str(discount)
    )
    return Slice(
        key=(feature, provider, model),
        present=Totals(
            calls=calls,
            input_tokens=tokens_in,
            output_tokens=tokens_out,
            cached_tokens=cached,
            cacheable_tokens=cacheable,
            cost=cost,
        ),
        before=Totals(calls=before, cost=Decimal(before)),
        first_at=AT,
        last_at=AT,
    )


def test_a_feature_that_changed_its_model_is_offered_the_way_back():
    moved = slice_of("bot", "anthropic", "claude-opus-4-5")
    left = slice_of("bot", "openai", "gpt-4.1-mini", before=100, calls=0)

    (option,) = savings.options([moved, left])

    assert option.kind is Kind.MOVE_BACK
    assert (option.to_provider, option.to_model) == ("openai", "gpt-4.1-mini")
    assert option.estimated == listed("openai", "gpt-4.1-mini", 1_000_000, 100_000)
    assert option.saving == moved.present.cost - option.estimated


def test_the_model_that_another_feature_left_is_no_way_back():
    moved = slice_of("bot", "openai", "gpt-4o-mini")
    left = slice_of("search", "openai", "gpt-4.1-nano", before=100, calls=0)

    assert savings.options([moved, left]) == []


def test_a_large_model_is_offered_the_smaller_one_of_its_family():
    (option,) = savings.options([slice_of("bot", "anthropic", "claude-sonnet-4-5")])

    assert option.kind is Kind.SMALLER_MODEL
    assert option.to_model == "claude-haiku-4-5"


def test_repeated_prefixes_are_offered_the_cache_at_the_cached_rate():
    rates = prices.rates_of("openai", "gpt-4o-mini")
    assert rates is not None

    (option,) = savings.options(
        [slice_of("docs", "openai", "gpt-4o-mini", cacheable=400_000)]
    )

    assert option.kind is Kind.PROMPT_CACHING
    assert option.saving == pytest.approx(400_000 * (rates.input - rates.cached))
    assert option.cacheable_share == Decimal("0.4")


def test_what_is_cached_already_saves_nothing_more():
    full = slice_of("docs", "openai", "gpt-4o-mini", cacheable=400_000, cached=400_000)

    assert savings.options([full]) == []


def test_a_discount_that_the_company_has_is_kept_in_the_estimate():
    full, half = (
        savings.options(
            [slice_of("bot", "anthropic", "claude-sonnet-4-5", discount=discount)]
        )[0]
        for discount in (1, 0.5)
    )

    assert half.saving == pytest.approx(full.saving / 2)


def test_models_without_a_price_offer_nothing():
    unknown = Slice(
        key=("bot", "nobody", "nothing"),
        present=Totals(
            calls=10, input_tokens=1_000, cacheable_tokens=500, cost=Decimal(5)
        ),
        before=Totals(),
        first_at=AT,
        last_at=AT,
    )

    assert savings.options([unknown]) == []


def test_every_option_saves_and_never_more_than_was_spent_and_the_most_stands_first():
    found = savings.options(
        [
            slice_of("a", "anthropic", "claude-opus-4-5", cacheable=900_000),
            slice_of("b", "google", "gemini-2.5-pro", cacheable=100_000),
            slice_of("c", "openai", "gpt-4o"),
        ]
    )

    assert len(found) == 5
    assert all(0 < option.saving <= option.cost for option in found)
    assert [o.saving for o in found] == sorted((o.saving for o in found), reverse=True)
