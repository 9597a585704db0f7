"""Writes the companies' usage, priced, and later the days that have passed since."""

from __future__ import annotations

from datetime import UTC, date, timedelta
from decimal import Decimal

from apps.accounts.models import Organisation
from apps.core import sql
from apps.ops.demo import spending
from apps.ops.demo.spending import Call, Story
from apps.usage import prices
from apps.usage.models import Record

BATCH = 500


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
    rows = [
        {"organisation_id": organisation.pk, "cost_usd": _cost(call), **call._asdict()}
        for day in days
        for call in spending.calls_of(organisation.slug, day, story)
    ]
    for start in range(0, len(rows), BATCH):
        sql.insert(Record, rows[start : start + BATCH])
    return len(rows)


def _newest_day(organisation: Organisation) -> date | None:
    rows = Record.objects.filter(
        organisation=organisation, source=Record.Source.COMPANY
    )
    newest = rows.order_by("-at").values_list("at", flat=True).first()
    return newest.astimezone(UTC).date() if newest else None


def _cost(call: Call) -> Decimal:
    rates = prices.rates_of(call.provider, call.model)
    assert rates is not None, f"the price list does not know {call.model!r}"
    cost = rates.cost(call.input_tokens, call.output_tokens, call.cached_tokens)
    return cost.quantize(prices.MICRO)
