"""Where costs step up, and which model took the place of which."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from apps.usage.figures import Day, Slice, Totals, step_up, switch_between

FIRST = date(2026, 9, 1)
START = datetime(2026, 9, 1, tzinfo=UTC)


def days(costs):
    return [
        Day(day=FIRST + timedelta(days=n), calls=1, cost=Decimal(str(cost)))
        for n, cost in enumerate(costs)
    ]


def one(model, *, before, present, first_day):
    return Slice(
        key=("p", model),
        present=Totals(calls=present, cost=Decimal(present)),
        before=Totals(calls=before, cost=Decimal(before)),
        first_at=START + timedelta(days=first_day),
        last_at=START + timedelta(days=60),
    )


def test_a_step_is_found_on_its_day():
    assert step_up(days([1] * 20 + [9] * 15)) == FIRST + timedelta(days=20)


def test_a_step_is_found_in_spite_of_quiet_weekends():
    week = [1.0, 1.0, 1.0, 1.0, 1.0, 0.4, 0.4]
    costs = [cost * (1 if n < 30 else 12) for n, cost in enumerate(week * 9)]

    assert step_up(days(costs)) == FIRST + timedelta(days=30)


def test_days_without_calls_count_as_nothing():
    sparse = [
        *days([1, 1, 1]),
        Day(day=FIRST + timedelta(days=40), calls=1, cost=Decimal(50)),
    ]

    assert step_up(sparse) == FIRST + timedelta(days=40)


def test_a_falling_or_level_cost_has_no_step_up():
    assert step_up(days([9] * 10 + [1] * 10)) is None
    assert step_up(days([3] * 10)) is None
    assert step_up(days([3])) is None
    assert step_up([]) is None


@given(st.lists(st.integers(0, 1000), min_size=2, max_size=60))
def test_what_follows_a_step_is_higher_on_average_than_what_was_before(costs):
    found = step_up(days(costs))

    if found is None:
        return
    n = (found - FIRST).days
    assert sum(costs[n:]) / len(costs[n:]) > sum(costs[:n]) / n


def test_a_switch_is_told_from_the_model_that_left_to_the_one_that_came():
    models = [
        one("old", before=100, present=2, first_day=0),
        one("new", before=0, present=900, first_day=30),
        one("other", before=5, present=6, first_day=0),
    ]

    switch = switch_between(models, START)

    assert switch is not None
    assert (switch.source, switch.target) == (("p", "old"), ("p", "new"))
    assert switch.on == (START + timedelta(days=30)).date()


def test_a_model_that_was_always_there_replaced_nobody():
    grown = one("grown", before=10, present=90, first_day=0)
    left = one("left", before=100, present=0, first_day=0)

    assert switch_between([grown, left], START) is None


def test_without_a_model_that_left_there_is_no_switch():
    added = one("added", before=0, present=90, first_day=30)
    steady = one("steady", before=100, present=100, first_day=0)

    assert switch_between([added, steady], START) is None
    assert switch_between([], START) is None


def test_a_model_with_fewer_and_dearer_calls_did_not_replace_itself():
    dearer = Slice(
        key=("p", "only"),
        present=Totals(calls=2, cost=Decimal(100)),
        before=Totals(calls=10, cost=Decimal(1)),
        first_at=START + timedelta(days=5),
        last_at=START + timedelta(days=60),
    )

    assert switch_between([dearer], START) is None
