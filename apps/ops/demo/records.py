"""Writes the companies' usage, priced, and later the days that have passed since."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, timedelta
from decimal import Decimal
from functools import lru_cache

from apps.accounts.models import Organisation
from apps.ops.demo import spending
from apps.ops.demo.spending import Call, Story
from apps.usage.models import Record

BATCH = 1_000
PRICED_TOKENS = 100_000  # below every provider's threshold for long prompts
CENT_PARTS = Decimal("0.000001")


def fill(organisation: Organisation, today: date) -> int:
    """Add the days that are missing up to yesterday; returns how many records that were."""
    newest = _newest_day(organisation)
    first = newest + timedelta(days=1) if newest else None
    days = spending.days_before(today, first)
    if not days:
        return 0
    # The story is told from the day of the first seeding, so that later days only continue it.
    story = Story.told_on(
        organisation.created_at.astimezone(UTC).date() if newest else today
    )
    rows = list(_records(organisation, days, story))
    Record.objects.bulk_create(rows, batch_size=BATCH)
    return len(rows)


def _newest_day(organisation: Organisation) -> date | None:
    rows = Record.objects.filter(
        organisation=organisation, source=Record.Source.COMPANY
    )
    newest = rows.order_by("-at").values_list("at", flat=True).first()
    return newest.astimezone(UTC).date() if newest else None


def _records(
    organisation: Organisation, days: list[date], story: Story
) -> Iterator[Record]:
    for day in days:
        for call in spending.calls_of(organisation.slug, day, story):
            yield Record(
                organisation=organisation, cost_usd=_cost(call), **call._asdict()
            )


def cost_usd(provider: str, model: str, i: int, o: int, c: int) -> Decimal:  # temporary
    from genai_prices import Usage, calc_price  # noqa: PLC0415

    usage = Usage(input_tokens=i, output_tokens=o, cache_read_tokens=c)
    return calc_price(usage, model, provider_id=provider).total_price


def _cost(call: Call) -> Decimal:
    fresh, cached, written = _rates(call.provider, call.model)
    read = (
        call.input_tokens - call.cached_tokens
    ) * fresh + call.cached_tokens * cached
    return (read + call.output_tokens * written).quantize(CENT_PARTS)


@lru_cache(maxsize=32)
def _rates(provider: str, model: str) -> tuple[Decimal, Decimal, Decimal]:
    """US dollars for one token of fresh input, cached input and output, asked once for each model."""
    return (
        cost_usd(provider, model, PRICED_TOKENS, 0, 0) / PRICED_TOKENS,
        cost_usd(provider, model, PRICED_TOKENS, 0, PRICED_TOKENS) / PRICED_TOKENS,
        cost_usd(provider, model, 0, PRICED_TOKENS, 0) / PRICED_TOKENS,
    )
