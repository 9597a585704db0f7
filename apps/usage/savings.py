"""What a company could save: cheaper models and prompt caching, at its own volume. Pure arithmetic.

An estimate takes the tokens of the period to the price list, and keeps the discount that the company
has on what it uses now. It says nothing about quality.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from apps.usage import prices
from apps.usage.figures import Slice, Totals
from apps.usage.prices import Rates

LEAST = Decimal("0.01")  # US dollars; less is not worth a sentence
ONE = Decimal(1)


class Kind(StrEnum):
    """How money can be saved."""

    MOVE_BACK = "move_back"  # to the model that the feature used before
    SMALLER_MODEL = "smaller_model"  # of the same family
    PROMPT_CACHING = "prompt_caching"  # of prefixes that repeat


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """One thing to do, and what the period would have cost with it."""

    kind: Kind
    feature: str
    provider: str
    model: str
    to_provider: str
    to_model: str
    calls: int
    cost: Decimal
    estimated: Decimal
    cacheable_share: Decimal = Decimal(0)

    @property
    def saving(self) -> Decimal:
        return self.cost - self.estimated


def options(slices: Sequence[Slice]) -> list[Option]:
    """What could be saved in a period, given its slices by (feature, provider, model); the most first.

    Options are alternatives, each seen alone: savings of the same feature do not add up.
    """
    found: list[Option] = []
    for one in slices:
        if one.present.cost > 0:
            found += _caching(one)
            found += _cheaper_model(one, slices)
    worth = [option for option in found if option.saving >= LEAST]
    return sorted(
        worth, key=lambda option: (-option.saving, option.feature, option.kind)
    )


def _caching(one: Slice) -> Iterator[Option]:
    feature, provider, model = one.key
    rates = prices.rates_of(provider, model)
    present = one.present
    uncached = present.cacheable_tokens - present.cached_tokens
    if rates is None or uncached <= 0 or rates.cached >= rates.input:
        return
    saving = uncached * (rates.input - rates.cached) * _discount(present, rates)
    yield Option(
        kind=Kind.PROMPT_CACHING,
        feature=feature,
        provider=provider,
        model=model,
        to_provider=provider,
        to_model=model,
        calls=present.calls,
        cost=present.cost,
        estimated=max(present.cost - saving, Decimal(0)),
        cacheable_share=Decimal(present.cacheable_tokens) / present.input_tokens,
    )


def _cheaper_model(one: Slice, slices: Sequence[Slice]) -> Iterator[Option]:
    feature, provider, model = one.key
    earlier = _earlier_models(one, slices)
    smaller = [(provider, name) for name in prices.smaller_models(provider, model)]
    for kind, choices in ((Kind.MOVE_BACK, earlier), (Kind.SMALLER_MODEL, smaller)):
        for to_provider, to_model in choices:
            estimated = _elsewhere(one, to_provider, to_model)
            if estimated is None or estimated >= one.present.cost:
                continue
            yield Option(
                kind=kind,
                feature=feature,
                provider=provider,
                model=model,
                to_provider=to_provider,
                to_model=to_model,
                calls=one.present.calls,
                cost=one.present.cost,
                estimated=estimated,
            )
            return


def _earlier_models(one: Slice, slices: Sequence[Slice]) -> list[tuple[str, str]]:
    """Models that the feature has left for this one, the most used first."""
    if one.present.calls <= one.before.calls:
        return []
    left = [
        other
        for other in slices
        if other.key[0] == one.key[0]
        and other.key != one.key
        and other.present.calls * 2 < other.before.calls
    ]
    left.sort(key=lambda other: -other.before.calls)
    return [(other.key[1], other.key[2]) for other in left]


def _elsewhere(one: Slice, provider: str, model: str) -> Decimal | None:
    rates, here = (
        prices.rates_of(provider, model),
        prices.rates_of(one.key[1], one.key[2]),
    )
    if rates is None:
        return None
    discount = _discount(one.present, here) if here else ONE
    return _listed(one.present, rates) * discount


def _discount(totals: Totals, rates: Rates) -> Decimal:
    listed = _listed(totals, rates)
    return totals.cost / listed if listed else ONE


def _listed(totals: Totals, rates: Rates) -> Decimal:
    return rates.cost(totals.input_tokens, totals.output_tokens, totals.cached_tokens)
