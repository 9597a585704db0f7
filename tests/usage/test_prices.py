"""Prices by the public list: exact, lazy, and calm about unknown models."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from apps.usage import prices


def test_the_price_list_is_not_loaded_with_the_module():
    code = "import sys; from apps.usage import prices; print('genai_prices' in sys.modules)"

    said = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )

    assert said.stdout.strip() == "False"


def test_a_call_costs_its_tokens_at_the_listed_rates():
    rates = prices.rates_of("openai", "gpt-4o-mini")

    cost = prices.cost_usd("openai", "gpt-4o-mini", 12_000, 3_000)

    assert rates is not None
    assert cost == (12_000 * rates.input + 3_000 * rates.output).quantize(prices.MICRO)
    assert cost > 0


def test_tokens_from_the_cache_are_cheaper_than_fresh_ones():
    fresh = prices.cost_usd("openai", "gpt-4o", 10_000, 0)
    cached = prices.cost_usd("openai", "gpt-4o", 10_000, 0, 10_000)

    assert fresh is not None
    assert cached is not None
    assert 0 < cached < fresh


@pytest.mark.parametrize(
    ("provider", "model"),
    [
        ("openai", "no-such-model"),
        ("nobody", "gpt-4o"),
        ("", ""),
        ("openai", ""),
        ("openai", "gpt\x00"),
        ("🦆", "שלום"),
        ("openai", "x" * 10_000),
    ],
)
def test_an_unknown_model_has_no_price_and_does_no_harm(provider, model):
    assert prices.cost_usd(provider, model, 1_000, 1_000) is None
    assert prices.rates_of(provider, model) is None
    assert prices.smaller_models(provider, model) == ()


def test_impossible_token_counts_are_refused():
    with pytest.raises(ValueError, match="impossible token counts"):
        prices.cost_usd("openai", "gpt-4o", 10, 0, 11)


def test_providers_are_known_by_their_common_names():
    assert prices.cost_usd("OpenAI", "gpt-4o", 1_000, 0) == prices.cost_usd(
        "openai", "gpt-4o", 1_000, 0
    )
    assert prices.rates_of("xai", "grok-3") == prices.rates_of("x-ai", "grok-3") != None  # noqa: E711


def test_a_model_is_priced_by_its_full_name_and_without_a_provider():
    at = datetime(2026, 1, 1, tzinfo=UTC)

    assert (
        prices.cost_of_model("openai:gpt-4o", 1_000, 10, at=at)
        == prices.cost_of_model("gpt-4o", 1_000, 10, at=at)
        == prices.cost_usd("openai", "gpt-4o", 1_000, 10, at=at)
    )


def test_smaller_models_are_on_the_list_under_exactly_their_name_and_cheaper():
    for provider, model in (
        ("openai", "gpt-4o"),
        ("anthropic", "claude-sonnet-4-5"),
        ("google", "gemini-2.5-pro"),
    ):
        large = prices.rates_of(provider, model)
        smaller = prices.smaller_models(provider, model)

        assert large is not None
        assert smaller
        for name in smaller:
            small = prices.rates_of(provider, name)
            assert small is not None
            assert small.input < large.input


def test_a_small_model_has_no_smaller_one_of_the_same_ending():
    assert prices.smaller_models("openai", "gpt-4o-mini") == ()


@pytest.mark.parametrize(
    "name", ["", "offline", "scripted", "scripted:golden", "test", "function:x"]
)
def test_models_of_netra_itself_are_local(name):
    assert prices.is_local(name)


@pytest.mark.parametrize("name", ["openai:gpt-5", "gpt-4o", "testament-1"])
def test_models_of_providers_are_not_local(name):
    assert not prices.is_local(name)


def test_costs_are_exact_decimals_to_a_millionth():
    cost = prices.cost_usd("openai", "gpt-4o-mini", 1, 1)

    assert isinstance(cost, Decimal)
    assert cost == cost.quantize(Decimal("0.000001"))
