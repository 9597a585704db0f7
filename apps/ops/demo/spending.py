"""What the demo's companies ask of AI models: features, volumes, and four stories. Pure.

Every day is drawn from a generator of its own, so a day looks the same whenever it is made.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple

SEED = 20_260
DAYS = 90
BURST_CALLS = 70
BURST_HOUR = 14
TIMEOUT_MS = 60_000
CACHE_STEP = 5  # inputs are multiples of it, so that 40 % is a whole number of tokens
# How busy each hour (UTC) is: quiet nights, two peaks around lunch.
HOURS = (
    1,
    1,
    1,
    1,
    1,
    2,
    4,
    9,
    16,
    20,
    21,
    18,
    14,
    18,
    20,
    19,
    16,
    12,
    8,
    6,
    4,
    3,
    2,
    1,
)
SATURDAY = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Feature:
    """A part of a company's product that calls one model."""

    name: str
    provider: str
    model: str
    calls: int  # on a working day
    weekend: float  # of a working day
    input_tokens: int  # median
    output_tokens: int  # median
    latency_ms: int  # median
    cacheable: float = 0.0  # of the input, repeated prefix
    cached: float = 0.0  # of the input, read from the cache
    timeouts: float = 0.0
    errors: float = 0.004


class Call(NamedTuple):
    """One call of a model, not yet priced."""

    at: datetime
    provider: str
    model: str
    feature: str
    input_tokens: int
    output_tokens: int
    cached_tokens: int
    cacheable_tokens: int
    latency_ms: int
    status: str
    error: str


@dataclass(frozen=True, slots=True)
class Story:
    """The two dated turns of acme's story, seen from the day the demo is first seeded."""

    model_change: date
    burst: date

    @classmethod
    def told_on(cls, today: date) -> Story:
        last_month = (today.replace(day=1) - timedelta(days=1)).replace(day=1)
        burst = today - timedelta(days=9)
        while burst.weekday() >= SATURDAY:
            burst -= timedelta(days=1)
        return cls(model_change=last_month, burst=burst)


SUPPORT_BOT = Feature(
    name="support-bot",
    provider="openai",
    model="gpt-4.1-mini",
    calls=84,
    weekend=0.4,
    input_tokens=4_200,
    output_tokens=620,
    latency_ms=1_500,
)
SUPPORT_BOT_MOVED = replace(
    SUPPORT_BOT, provider="anthropic", model="claude-opus-4-5", latency_ms=2_400
)
SEARCH = Feature(
    name="product-search",
    provider="openai",
    model="gpt-5-mini",
    calls=72,
    weekend=0.7,
    input_tokens=1_400,
    output_tokens=160,
    latency_ms=900,
    cacheable=0.5,
    cached=0.5,
)
FEATURES: dict[str, tuple[Feature, ...]] = {
    "acme": (
        SUPPORT_BOT,
        SEARCH,
        Feature(
            name="contract-summaries",
            provider="anthropic",
            model="claude-sonnet-4-5",
            calls=28,
            weekend=0.1,
            input_tokens=9_500,
            output_tokens=750,
            latency_ms=2_600,
            cacheable=0.4,
        ),
        Feature(
            name="translation",
            provider="mistral",
            model="mistral-large-latest",
            calls=34,
            weekend=0.2,
            input_tokens=1_900,
            output_tokens=1_700,
            latency_ms=14_000,
            timeouts=0.03,
        ),
        Feature(
            name="code-review",
            provider="google",
            model="gemini-2.5-pro",
            calls=22,
            weekend=0.05,
            input_tokens=6_000,
            output_tokens=900,
            latency_ms=2_900,
        ),
    ),
    "globex": (
        Feature(
            name="email-drafts",
            provider="openai",
            model="gpt-4o-mini",
            calls=38,
            weekend=0.3,
            input_tokens=1_100,
            output_tokens=420,
            latency_ms=1_100,
        ),
        Feature(
            name="lead-scoring",
            provider="google",
            model="gemini-2.5-flash",
            calls=22,
            weekend=0.6,
            input_tokens=2_600,
            output_tokens=90,
            latency_ms=800,
            cacheable=0.3,
            cached=0.3,
        ),
        Feature(
            name="meeting-notes",
            provider="anthropic",
            model="claude-haiku-4-5",
            calls=13,
            weekend=0.1,
            input_tokens=7_500,
            output_tokens=800,
            latency_ms=1_900,
        ),
    ),
}


def days_before(today: date, first: date | None = None) -> list[date]:
    """The days of the demo up to yesterday, at most 90, from `first` on where it is given."""
    days = [today - timedelta(days=n) for n in range(DAYS, 0, -1)]
    return [day for day in days if first is None or day >= first]


def calls_of(slug: str, day: date, story: Story, seed: int = SEED) -> list[Call]:
    """All calls of one company on one day, in order of time."""
    rng = random.Random(f"{seed}:{slug}:{day}")  # noqa: S311 - a story, not a secret
    calls: list[Call] = []
    for feature in FEATURES[slug]:
        calls += _calls(rng, _as_of(feature, day, story), day)
    if slug == "acme" and day == story.burst:
        calls += _refused(rng, day)
    return sorted(calls)


def _as_of(feature: Feature, day: date, story: Story) -> Feature:
    moved = feature is SUPPORT_BOT and day >= story.model_change
    return SUPPORT_BOT_MOVED if moved else feature


def _calls(rng: random.Random, feature: Feature, day: date) -> Iterator[Call]:
    share = feature.weekend if day.weekday() >= SATURDAY else 1.0
    count = round(feature.calls * share * rng.uniform(0.9, 1.1))
    for hour in rng.choices(range(24), HOURS, k=count):
        yield _call(rng, feature, _moment(rng, day, hour))


def _call(rng: random.Random, feature: Feature, at: datetime) -> Call:
    status, error = _fate(rng, feature)
    received = CACHE_STEP * max(
        1, round(_around(rng, feature.input_tokens) / CACHE_STEP)
    )
    latency = _around(rng, feature.latency_ms)
    read = received if status in {"ok", "timeout"} else 0
    return Call(
        at=at,
        provider=feature.provider,
        model=feature.model,
        feature=feature.name,
        input_tokens=read,
        output_tokens=round(_around(rng, feature.output_tokens))
        if status == "ok"
        else 0,
        cached_tokens=math.floor(read * feature.cached),
        cacheable_tokens=math.floor(read * feature.cacheable),
        latency_ms=TIMEOUT_MS if status == "timeout" else round(latency),
        status=status,
        error=error,
    )


def _fate(rng: random.Random, feature: Feature) -> tuple[str, str]:
    drawn = rng.random()
    if drawn < feature.timeouts:
        return "timeout", "no answer within 60 s"
    if drawn < feature.timeouts + feature.errors:
        return "error", rng.choice(
            ("502 bad gateway", "500 internal error", "connection reset")
        )
    return "ok", ""


def _refused(rng: random.Random, day: date) -> Iterator[Call]:
    """A batch job gone wrong: within one hour the provider refuses most of its calls."""
    for _ in range(BURST_CALLS):
        call = _call(rng, SEARCH, _moment(rng, day, BURST_HOUR))
        yield call._replace(
            input_tokens=0,
            output_tokens=0,
            cached_tokens=0,
            cacheable_tokens=0,
            latency_ms=rng.randint(40, 120),
            status="rate_limited",
            error="429 too many requests",
        )


def _moment(rng: random.Random, day: date, hour: int) -> datetime:
    return datetime(
        day.year,
        day.month,
        day.day,
        hour,
        rng.randrange(60),
        rng.randrange(60),
        tzinfo=UTC,
    )


def _around(rng: random.Random, median: int) -> float:
    """A value near `median`; one in twenty is more than 1.8 times as large."""
    return median * math.exp(rng.gauss(0, 0.36))
