"""Stretches of time as people name them: '30d', '2026-10'. Pure: the caller says what time it is."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from apps.core.errors import InvalidInputError

DAYS = re.compile(r"([1-9][0-9]{0,2})d", re.ASCII)
MONTH = re.compile(r"(20[0-9]{2})-(0[1-9]|1[0-2])", re.ASCII)
LONGEST_DAYS = 366
MONTH_DAYS = 30
FORMS = "Use '7d', '30d' or '90d' for the last days, or a month such as '2026-10'."


@dataclass(frozen=True, slots=True, kw_only=True)
class Period:
    """From `start` to just before `end`, with the equally named stretch before it."""

    name: str
    label: str
    start: datetime
    end: datetime
    before_label: str
    before_start: datetime
    before_end: datetime

    @property
    def days(self) -> float:
        return (self.end - self.start) / timedelta(days=1)

    @property
    def per_month(self) -> float:
        """By what the period's sums are multiplied to speak of one month."""
        whole = self.start.day == 1 and self.end == (
            self.start + timedelta(days=32)
        ).replace(day=1)
        return 1.0 if whole else MONTH_DAYS / self.days


def parse_period(text: object, *, now: datetime) -> Period:
    """The period that `text` names, seen at `now`; raises InvalidInputError for anything else."""
    named = text.strip().lower() if isinstance(text, str) else ""
    if (days := DAYS.fullmatch(named)) and int(days[1]) <= LONGEST_DAYS:
        return _last_days(int(days[1]), now)
    if month := MONTH.fullmatch(named):
        return _month(int(month[1]), int(month[2]), now)
    raise InvalidInputError(
        f"{str(text)[:40]!r} is not a period.", field="period", fix=FORMS
    )


def _last_days(count: int, now: datetime) -> Period:
    length = timedelta(days=count)
    return Period(
        name=f"{count}d",
        label=f"the last {count} days" if count > 1 else "the last 24 hours",
        start=now - length,
        end=now,
        before_label=f"the {count} days before" if count > 1 else "the 24 hours before",
        before_start=now - 2 * length,
        before_end=now - length,
    )


def _month(year: int, month: int, now: datetime) -> Period:
    start = datetime(year, month, 1, tzinfo=UTC)
    following = (start + timedelta(days=32)).replace(day=1)
    before = (start - timedelta(days=1)).replace(day=1)
    if start >= now:
        raise InvalidInputError(
            f"{start:%B %Y} has not begun.",
            field="period",
            fix="Name this month or an earlier one.",
        )
    # A month that still runs is compared with the same stretch of the month before it.
    end, before_end = min(following, now), min(start, before + (now - start))
    running = end < following
    return Period(
        name=f"{start:%Y-%m}",
        label=f"{start:%B %Y}" + (" so far" if running else ""),
        start=start,
        end=end,
        before_label=("the same days of " if running else "") + f"{before:%B %Y}",
        before_start=before,
        before_end=before_end if running else start,
    )
