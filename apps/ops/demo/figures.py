"""Figures from the seeded records, so that the demo's old answers tell the truth."""

from __future__ import annotations

import math
from collections import defaultdict
from datetime import UTC, date, datetime, time
from decimal import Decimal

from django.db.models import QuerySet, Sum

from apps.accounts.models import Organisation
from apps.usage.models import Record

Dollars = dict[str, Decimal]


def spend_by(
    column: str, organisation: Organisation, first: date, end: date
) -> Dollars:
    """Dollars for each value of `column` in [first, end), the largest first."""
    rows = (
        _rows(organisation, first, end).values(column).annotate(dollars=Sum("cost_usd"))
    )
    return {row[column]: row["dollars"] for row in rows.order_by("-dollars")}


def latency_by_provider(
    organisation: Organisation, first: date, end: date
) -> dict[str, int]:
    """The 95th percentile in milliseconds of each provider, the slowest first."""
    seen: dict[str, list[int]] = defaultdict(list)
    for provider, ms in _rows(organisation, first, end).values_list(
        "provider", "latency_ms"
    ):
        seen[provider].append(ms)
    p95 = {
        name: sorted(values)[math.ceil(0.95 * len(values)) - 1]
        for name, values in seen.items()
    }
    return dict(sorted(p95.items(), key=lambda pair: -pair[1]))


def failures_by_feature(
    organisation: Organisation, first: date, end: date
) -> dict[str, int]:
    """How many calls of each feature failed, the most first."""
    failed = _rows(organisation, first, end).exclude(status=Record.Status.OK)
    counts: dict[str, int] = defaultdict(int)
    for name in failed.values_list("feature", flat=True):
        counts[name] += 1
    return dict(sorted(counts.items(), key=lambda pair: -pair[1]))


def _rows(organisation: Organisation, first: date, end: date) -> QuerySet[Record]:
    rows: QuerySet[Record] = Record.objects.filter(
        organisation=organisation,
        source=Record.Source.COMPANY,
        at__gte=datetime.combine(first, time(), UTC),
        at__lt=datetime.combine(end, time(), UTC),
    )
    return rows.order_by()
