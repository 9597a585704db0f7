"""What usage queries answer with: sums, slices, percentiles and jumps. Values only, no Django."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

ZERO = Decimal(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """What a set of calls comes to."""

    calls: int = 0
    failed: int = 0
    unpriced: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    cacheable_tokens: int = 0
    cost: Decimal = ZERO

    @property
    def cost_per_call(self) -> Decimal:
        return self.cost / self.calls if self.calls else ZERO


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """One feature, model or provider in a period, and in the period before it."""

    key: tuple[str, ...]
    present: Totals
    before: Totals
    first_at: datetime
    last_at: datetime

    @property
    def name(self) -> str:
        return "/".join(self.key)

    @property
    def change(self) -> Decimal:
        return self.present.cost - self.before.cost


@dataclass(frozen=True, slots=True, kw_only=True)
class Day:
    """One UTC day's cost."""

    day: date
    calls: int
    cost: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """How long answered calls took, in milliseconds; percentiles by nearest rank."""

    key: tuple[str, ...]
    calls: int
    p50: int
    p95: int
    p99: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Failures:
    """Calls that failed alike."""

    provider: str
    model: str
    feature: str
    status: str
    error: str
    count: int
    first_at: datetime
    last_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Switch:
    """A feature left one model for another."""

    source: tuple[str, str]  # provider, model
    target: tuple[str, str]
    on: date


@dataclass(frozen=True, slots=True, kw_only=True)
class Jump:
    """The feature whose cost rose most, what its calls went to, and since when."""

    feature: Slice
    models: tuple[Slice, ...]
    switch: Switch | None
    since: date | None


def switch_between(models: Sequence[Slice], earliest: datetime) -> Switch | None:
    """The change of model that explains a rise; None when no model took another's place.

    A model that was there since `earliest` replaced nobody.
    """
    risen = [
        one
        for one in models
        if one.change > 0 and one.first_at - earliest >= timedelta(days=1)
    ]
    left = [
        one
        for one in models
        if one.before.calls and one.present.calls * 2 < one.before.calls
    ]
    if not risen or not left:
        return None
    target = max(risen, key=lambda one: one.change)
    source = max(left, key=lambda one: one.before.calls)
    if target.key == source.key:
        return None
    return Switch(
        source=(source.key[0], source.key[1]),
        target=(target.key[0], target.key[1]),
        on=target.first_at.astimezone(UTC).date(),
    )


def step_up(days: Sequence[Day]) -> date | None:
    """The day from which on daily cost was higher: the split that separates low from high best."""
    if len(days) < 2:
        return None
    by_day = {one.day: float(one.cost) for one in days}
    first, last = min(by_day), max(by_day)
    costs = [
        by_day.get(first + timedelta(days=n), 0.0)
        for n in range((last - first).days + 1)
    ]
    total, low, best, found = sum(costs), 0.0, 0.0, None
    for n in range(1, len(costs)):
        low += costs[n - 1]
        step = (total - low) / (len(costs) - n) - low / n
        weight = step * step * n * (len(costs) - n)
        if step > 0 and weight > best:
            best, found = weight, first + timedelta(days=n)
    return found
