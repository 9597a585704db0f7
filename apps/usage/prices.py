"""What a call of a model costs, by the public price list of genai-prices. No Django, no network.

The list is loaded at the first question, since loading it costs more than all of Netra's own modules.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any

MICRO = Decimal("0.000001")
SAMPLE_TOKENS = 1_000  # below every threshold from which long prompts cost more
# Names under which people know a provider that the price list calls otherwise.
PROVIDERS = {
    "bedrock": "aws",
    "grok": "x-ai",
    "xai": "x-ai",
    "vertex": "google",
    "gemini": "google",
}
# Netra's own models and those of tests: they run here and cost nothing.
LOCAL = frozenset({"offline", "scripted", "function", "test"})
# How providers name the next smaller model of the same family.
SMALLER = (
    ("opus", "sonnet"),
    ("sonnet", "haiku"),
    ("pro", "flash"),
    ("flash", "flash-lite"),
    ("large", "medium"),
)
SMALLER_ENDINGS = ("-mini", "-nano")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """US dollars for one token: fresh input, input read from the cache, output."""

    input: Decimal
    cached: Decimal
    output: Decimal

    def cost(
        self, input_tokens: int, output_tokens: int, cached_tokens: int = 0
    ) -> Decimal:
        fresh = input_tokens - cached_tokens
        return (
            fresh * self.input
            + cached_tokens * self.cached
            + output_tokens * self.output
        )


def cost_usd(
    provider: str,
    model: str,
    input_tokens: int,
    output_tokens: int,
    cached_tokens: int = 0,
    at: datetime | None = None,
) -> Decimal | None:
    """The price of one call in US dollars, to a millionth; None when the list has no such model.

    `cached_tokens` are those of the input that were read from the provider's prompt cache.
    """
    if not 0 <= cached_tokens <= input_tokens or output_tokens < 0:
        raise ValueError(
            f"impossible token counts: {(input_tokens, output_tokens, cached_tokens)!r}"
        )
    found = _calculated(provider, model, input_tokens, output_tokens, cached_tokens, at)
    return None if found is None else Decimal(found.total_price).quantize(MICRO)


def cost_of_model(
    name: str,
    input_tokens: int,
    output_tokens: int,
    cached_tokens: int = 0,
    at: datetime | None = None,
) -> Decimal | None:
    """`cost_usd` for a name such as 'openai:gpt-5'; without a provider, the list looks in all."""
    return cost_usd(*split_name(name), input_tokens, output_tokens, cached_tokens, at)


@lru_cache(maxsize=512)
def rates_of(provider: str, model: str) -> Rates | None:
    """What one token costs in a call of ordinary length; None when the list has no such model."""
    fresh = _calculated(provider, model, SAMPLE_TOKENS, 0, 0, None)
    cached = _calculated(provider, model, SAMPLE_TOKENS, 0, SAMPLE_TOKENS, None)
    written = _calculated(provider, model, 0, SAMPLE_TOKENS, 0, None)
    if fresh is None or cached is None or written is None:
        return None
    return Rates(
        input=Decimal(fresh.total_price) / SAMPLE_TOKENS,
        cached=Decimal(cached.total_price) / SAMPLE_TOKENS,
        output=Decimal(written.total_price) / SAMPLE_TOKENS,
    )


@lru_cache(maxsize=512)
def smaller_models(provider: str, model: str) -> tuple[str, ...]:
    """Smaller models of the same family and provider that the price list knows."""
    return tuple(
        name for name in _smaller_names(model) if _listed_as(provider, name) == name
    )


def split_name(name: str) -> tuple[str, str]:
    """'openai:gpt-5' as ('openai', 'gpt-5'); a name without a provider as ('', name)."""
    provider, colon, model = name.partition(":")
    return (provider, model) if colon else ("", name)


def is_local(name: str) -> bool:
    """Whether a model runs inside Netra and so costs nothing."""
    return not name or name.partition(":")[0].partition("-")[0] in LOCAL


def _smaller_names(model: str) -> Iterator[str]:
    words = model.split("-")
    for larger, smaller in SMALLER:
        if larger in words:
            yield "-".join(smaller if word == larger else word for word in words)
    if not model.endswith(SMALLER_ENDINGS):
        yield from (model + ending for ending in SMALLER_ENDINGS)


def _listed_as(provider: str, model: str) -> str:
    # The list also matches by beginnings; only an entry of exactly this name is that model.
    found = _calculated(provider, model, SAMPLE_TOKENS, 0, 0, None)
    return "" if found is None else str(found.model.id)


def _calculated(
    provider: str,
    model: str,
    input_tokens: int,
    output_tokens: int,
    cached_tokens: int,
    at: datetime | None,
) -> Any:
    genai_prices = importlib.import_module("genai_prices")
    tokens = genai_prices.Usage(
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        cache_read_tokens=cached_tokens or None,
    )
    name = provider.strip().lower()
    try:
        return genai_prices.calc_price(
            tokens,
            model,
            provider_id=PROVIDERS.get(name, name) or None,
            genai_request_timestamp=at or datetime.now(UTC),
        )
    except LookupError:
        return None
