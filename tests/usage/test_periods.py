"""Periods as people name them, and what they are compared with."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.core.errors import InvalidInputError
from apps.usage.periods import parse_period

NOW = datetime(2026, 11, 21, 9, 30, tzinfo=UTC)
MOMENTS = st.datetimes(
    min_value=datetime(2020, 3, 1),  # noqa: DTZ001 - hypothesis adds the zone
    max_value=datetime(2060, 1, 1),  # noqa: DTZ001
    timezones=st.just(UTC),
)


def test_days_end_now_and_are_compared_with_as_many_before():
    period = parse_period("30d", now=NOW)

    assert (period.start, period.end) == (NOW - timedelta(days=30), NOW)
    assert (period.before_start, period.before_end) == (
        NOW - timedelta(days=60),
        period.start,
    )
    assert period.label == "the last 30 days"
    assert period.per_month == 1.0


def test_a_month_is_a_calendar_month_and_compared_with_the_one_before():
    period = parse_period("2026-10", now=NOW)

    assert period.start == datetime(2026, 10, 1, tzinfo=UTC)
    assert period.end == datetime(2026, 11, 1, tzinfo=UTC)
    assert period.before_start == datetime(2026, 9, 1, tzinfo=UTC)
    assert period.before_end == period.start
    assert (period.label, period.before_label) == ("October 2026", "September 2026")
    assert period.per_month == 1.0


def test_a_january_is_compared_with_december():
    period = parse_period("2026-01", now=NOW)

    assert period.before_start == datetime(2025, 12, 1, tzinfo=UTC)


def test_a_running_month_is_compared_with_the_same_stretch_of_the_month_before():
    period = parse_period("2026-11", now=NOW)

    assert period.end == NOW
    assert period.before_end - period.before_start == period.end - period.start
    assert period.label == "November 2026 so far"
    assert period.per_month == pytest.approx(30 / period.days)


def test_a_running_march_is_not_compared_beyond_the_end_of_february():
    now = datetime(2026, 3, 31, 12, tzinfo=UTC)

    period = parse_period("2026-03", now=now)

    assert period.before_end == period.start


def test_seven_days_are_scaled_to_a_month():
    assert parse_period("7d", now=NOW).per_month == pytest.approx(30 / 7)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0d",
        "367d",
        "-7d",
        "d",
        "30",
        "2026-13",
        "2026-00",
        "1999-10",
        "2026-10-01",
        "٣d",
        None,
        31,
        ["30d"],
        "x" * 9999,
    ],
)
def test_anything_else_is_refused_with_field_and_fix(text):
    with pytest.raises(InvalidInputError) as refused:
        parse_period(text, now=NOW)

    assert refused.value.field == "period"
    assert "2026-10" in refused.value.fix
    assert len(refused.value.message) < 100


def test_a_month_that_has_not_begun_is_refused():
    with pytest.raises(InvalidInputError, match="December 2026 has not begun"):
        parse_period("2026-12", now=NOW)


@given(now=MOMENTS, days=st.integers(1, 366))
def test_periods_of_days_touch_and_never_reach_into_the_future(now, days):
    period = parse_period(f"{days}d", now=now)

    assert period.before_start < period.before_end == period.start < period.end == now


@given(now=MOMENTS, back=st.integers(0, 500))
def test_periods_of_months_touch_or_leave_a_gap_but_never_overlap(now, back):
    month = now - timedelta(days=back)
    if month.year < 2000 or (
        month.month == now.month
        and now == now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    ):
        return

    period = parse_period(f"{month:%Y-%m}", now=now)

    assert period.before_start < period.before_end <= period.start < period.end <= now
    assert period.start <= month
