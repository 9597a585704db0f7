"""Reads about what the company's own software spent on AI, for the organisation of the open scope.

Sums and percentiles are made by the database. Netra's own consumption is never among them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from enum import StrEnum
from typing import Any

from django.db.models import (
    CharField,
    Count,
    F,
    IntegerField,
    Max,
    Min,
    Q,
    QuerySet,
    Sum,
    Value,
    Window,
)
from django.db.models.functions import Cast, Coalesce, Left, RowNumber

from apps.usage.figures import (
    ZERO,
    Day,
    Failures,
    Jump,
    Latency,
    Slice,
    Totals,
    step_up,
    switch_between,
)
from apps.usage.models import Record
from apps.usage.periods import Period

PERCENTILES = (50, 95, 99)


class Dimension(StrEnum):
    """By what costs can be broken down."""

    FEATURE = "feature"
    MODEL = "model"
    PROVIDER = "provider"
    DAY = "day"


# What a feature, a model … is made of: the columns it is grouped by.
COLUMNS: Mapping[Dimension, tuple[str, ...]] = {
    Dimension.FEATURE: ("feature",),
    Dimension.MODEL: ("provider", "model"),
    Dimension.PROVIDER: ("provider",),
}


def newest() -> datetime | None:
    """When the last recorded call was made; None when there is no record."""
    return _calls().order_by("-at").values_list("at", flat=True).first()


def oldest() -> datetime | None:
    """When the first recorded call was made; None when there is no record."""
    return _calls().order_by("at").values_list("at", flat=True).first()


def totals(start: datetime, end: datetime) -> Totals:
    """Everything between two moments."""
    return _totals(_between(start, end).aggregate(**_sums("all_")), "all_")


def slices(
    columns: Sequence[str], period: Period, *, feature: str | None = None
) -> list[Slice]:
    """The period and the one before it, grouped by `columns`, the dearest first."""
    rows = _calls().filter(at__gte=period.before_start, at__lt=period.end)
    if feature is not None:
        rows = rows.filter(feature=feature)
    present = Q(at__gte=period.start)
    grouped = (
        rows.order_by()
        .values(*columns)
        .annotate(
            first_at=Min("at"),
            last_at=Max("at"),
            **_sums("present_", present),
            **_sums("before_", Q(at__lt=period.before_end)),
        )
    )
    found = [_slice(columns, row) for row in grouped]
    return sorted(found, key=lambda one: (-one.present.cost, -one.before.cost, one.key))


def days(start: datetime, end: datetime, *, feature: str | None = None) -> list[Day]:
    """Each UTC day that had calls, in order."""
    rows = _between(start, end)
    if feature is not None:
        rows = rows.filter(feature=feature)
    # Moments are stored, and sent by the connection, in UTC: their text begins with the day.
    by_day = (
        rows.order_by().annotate(day=Left(Cast("at", CharField()), 10)).values("day")
    )
    found = by_day.annotate(calls=Count("id"), cost=Sum("cost_usd")).order_by("day")
    return [
        Day(day=date.fromisoformat(row["day"]), calls=row["calls"], cost=row["cost"])
        for row in found
    ]


def latencies(columns: Sequence[str], start: datetime, end: datetime) -> list[Latency]:
    """Percentiles of answered calls, grouped by `columns`, the slowest first."""
    answered = _between(start, end).filter(status=Record.Status.OK, latency_ms__gt=0)
    partition = [F(column) for column in columns]
    ranked = answered.order_by().annotate(
        rank=Window(
            RowNumber(), partition_by=partition, order_by=F("latency_ms").asc()
        ),
        size=Window(Count("id"), partition_by=partition),
    )
    wanted = Q()
    for percent in PERCENTILES:
        wanted |= Q(rank=_nearest_rank(percent))
    chosen = ranked.filter(wanted).values_list(*columns, "rank", "size", "latency_ms")
    return _latencies(len(columns), chosen)


def failures(start: datetime, end: datetime, *, limit: int) -> list[Failures]:
    """Failed calls grouped by what they have in common, the most frequent first."""
    alike = ("provider", "model", "feature", "status", "error")
    rows = (
        _between(start, end).exclude(status=Record.Status.OK).order_by().values(*alike)
    )
    grouped = rows.annotate(count=Count("id"), first_at=Min("at"), last_at=Max("at"))
    return [
        Failures(**row)
        for row in grouped.order_by("-count", "-last_at", *alike)[:limit]
    ]


def failed_statuses(start: datetime, end: datetime) -> dict[str, int]:
    """How many calls ended in each way that is not an answer."""
    rows = _between(start, end).exclude(status=Record.Status.OK).order_by()
    return dict(
        rows.values("status").annotate(count=Count("id")).values_list("status", "count")
    )


def jump(period: Period) -> Jump | None:
    """The feature whose cost rose most against the period before; None when none rose."""
    risen = [one for one in slices(("feature",), period) if one.change > 0]
    if not risen:
        return None
    feature = max(risen, key=lambda one: one.change)
    name = feature.key[0]
    models = slices(("provider", "model"), period, feature=name)
    switch = switch_between(models, period.before_start)
    since = (
        switch.on
        if switch
        else step_up(days(period.before_start, period.end, feature=name))
    )
    return Jump(feature=feature, models=tuple(models), switch=switch, since=since)


def _calls() -> QuerySet[Record]:
    rows: QuerySet[Record] = Record.objects.filter(source=Record.Source.COMPANY)
    return rows


def _between(start: datetime, end: datetime) -> QuerySet[Record]:
    return _calls().filter(at__gte=start, at__lt=end)


def _sums(prefix: str, only: Q | None = None) -> dict[str, Any]:
    def where(test: Q | None = None) -> Q | None:
        return only & test if only is not None and test is not None else only or test

    sums: dict[str, Any] = {
        f"{prefix}{name}": Coalesce(Sum(name, filter=where()), 0)
        for name in (
            "input_tokens",
            "output_tokens",
            "cached_tokens",
            "cacheable_tokens",
        )
    }
    free = Q(cost_usd=0, status=Record.Status.OK) & (
        Q(input_tokens__gt=0) | Q(output_tokens__gt=0)
    )
    sums[f"{prefix}calls"] = Count("id", filter=where())
    sums[f"{prefix}failed"] = Count("id", filter=where(~Q(status=Record.Status.OK)))
    sums[f"{prefix}unpriced"] = Count("id", filter=where(free))
    sums[f"{prefix}cost"] = Sum("cost_usd", filter=where())
    return sums


def _totals(row: Mapping[str, Any], prefix: str) -> Totals:
    names = Totals.__dataclass_fields__
    return Totals(
        **{name: row[f"{prefix}{name}"] or 0 for name in names if name != "cost"},
        cost=row[f"{prefix}cost"] or ZERO,
    )


def _slice(columns: Sequence[str], row: Mapping[str, Any]) -> Slice:
    return Slice(
        key=tuple(row[column] for column in columns),
        present=_totals(row, "present_"),
        before=_totals(row, "before_"),
        first_at=row["first_at"],
        last_at=row["last_at"],
    )


def _nearest_rank(percent: int) -> Any:
    # ceil(size * percent / 100) in whole numbers
    product = F("size") * Value(percent, output_field=IntegerField()) + Value(
        99, output_field=IntegerField()
    )
    return product / Value(100, output_field=IntegerField())


def _latencies(width: int, chosen: Any) -> list[Latency]:
    found: dict[tuple[str, ...], dict[int, int]] = {}
    sizes: dict[tuple[str, ...], int] = {}
    for *names, rank, size, latency in chosen:
        key = tuple(names[:width])
        found.setdefault(key, {})[rank] = latency
        sizes[key] = size
    reports = []
    for key, ranks in found.items():
        p50, p95, p99 = (
            ranks[-(-sizes[key] * percent // 100)] for percent in PERCENTILES
        )
        reports.append(Latency(key=key, calls=sizes[key], p50=p50, p95=p95, p99=p99))
    return sorted(reports, key=lambda one: (-one.p95, one.key))
