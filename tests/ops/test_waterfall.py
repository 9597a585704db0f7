"""The waterfall: every step has its place, whatever the times are."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.ops.waterfall import (
    LEAST,
    ROWS,
    WIDTH,
    Fate,
    Kind,
    Step,
    Waterfall,
    successive,
    waterfall,
)

T0 = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return T0 + timedelta(seconds=seconds)


def step(start: float, end: float | None, **values) -> Step:
    given = {"kind": Kind.TOOL, "label": "a step"} | values
    return Step(start=at(start), end=None if end is None else at(end), **given)


def drawn(*steps: Step, end: float | None = 10, now: float = 10, **values) -> Waterfall:
    until = None if end is None else at(end)
    return waterfall(steps, start=T0, end=until, now=at(now), **values)


def test_a_step_stands_where_it_began_and_is_as_wide_as_it_lasted():
    (row,) = drawn(step(2, 7)).rows

    assert (row.x, row.width) == (200, 500)
    assert row.after == timedelta(seconds=2)
    assert row.lasted == timedelta(seconds=5)


@pytest.mark.parametrize("start", [0, 5, 10])
def test_what_took_no_time_is_still_seen(start):
    (row,) = drawn(step(start, start)).rows

    assert row.width == LEAST
    assert row.x + row.width <= WIDTH


def test_what_goes_on_reaches_to_now():
    fall = drawn(step(4, None, fate=Fate.OPEN), end=None, now=8)

    assert fall.now_x == WIDTH
    assert fall.rows[0].x + fall.rows[0].width == WIDTH
    assert fall.rows[0].lasted == timedelta(seconds=4)


def test_a_finished_one_has_no_line_for_now():
    assert drawn(step(0, 10), now=500).now_x is None


def test_a_near_deadline_is_on_the_scale_and_a_far_one_is_not():
    near = drawn(step(0, None), end=None, deadline=at(15))
    far = drawn(step(0, None), end=None, deadline=at(3000))

    assert near.deadline_x == WIDTH
    assert near.now_x == pytest.approx(WIDTH * 10 / 15, abs=0.1)
    assert far.deadline_x is None
    assert far.now_x == WIDTH


def test_a_deadline_that_passed_lies_within():
    assert drawn(step(0, 10), deadline=at(8)).deadline_x == 800


def test_phases_last_until_the_next_begins():
    steps = successive([("Thinking", at(1)), ("Talking", at(3))], at(10))

    assert [(s.start, s.end) for s in steps] == [(at(1), at(3)), (at(3), at(10))]
    assert {s.fate for s in steps} == {Fate.DONE}


def test_the_last_phase_of_a_living_attempt_goes_on():
    (only,) = successive([("Thinking", at(1))], None)

    assert (only.end, only.fate) == (None, Fate.OPEN)


def test_neighbouring_phases_without_length_share_a_row():
    phases = successive(
        [("Created", at(0)), ("Context checked", at(0)), ("Thinking", at(0))], at(10)
    )

    assert [row.label for row in drawn(*phases).rows] == [
        "Created, context checked",
        "Thinking",
    ]


def test_a_failed_step_without_length_keeps_its_own_row():
    done = step(1, 1, kind=Kind.PHASE)
    failed = step(1, 1, kind=Kind.PHASE, fate=Fate.FAILED)

    assert len(drawn(done, failed).rows) == 2


def test_there_is_an_end_to_the_rows():
    fall = drawn(*(step(0, 1) for _ in range(ROWS + 5)))

    assert (len(fall.rows), fall.left_out) == (ROWS, 5)


MOMENTS = st.floats(0, 1e6, allow_nan=False)
STEPS = st.lists(st.tuples(MOMENTS, st.none() | MOMENTS), max_size=8)


@given(STEPS, st.none() | MOMENTS, MOMENTS, st.none() | MOMENTS)
def test_nothing_is_ever_drawn_outside(times, end, now, deadline):
    """Clocks of several machines need not agree: an end may lie before its beginning."""
    steps = [step(start, until) for start, until in times]
    limit = None if deadline is None else at(deadline)

    fall = drawn(*steps, end=end, now=now, deadline=limit)

    for row in fall.rows:
        assert 0 <= row.x <= WIDTH - LEAST
        assert row.width >= LEAST - 0.1
        assert row.x + row.width <= WIDTH + 0.1
        assert row.after >= timedelta()
        assert row.lasted >= timedelta()
    for line in (fall.now_x, fall.deadline_x):
        assert line is None or 0 <= line <= WIDTH


@given(st.floats(0.001, 1e7))
def test_the_scale_has_a_few_round_marks(seconds):
    ticks = drawn(step(0, seconds), end=seconds, now=seconds).ticks

    assert ticks[0].x == 0
    assert 2 <= len(ticks) <= 5
    assert all(after.x - before.x >= 249 for before, after in pairwise(ticks))
    assert all(0 <= tick.x <= WIDTH for tick in ticks)


@pytest.mark.parametrize(
    ("seconds", "labels"),
    [
        (0.01, ["0 s", "5 ms", "10 ms"]),
        (1.7, ["0 s", "500 ms", "1 s", "1.5 s"]),
        (106, ["0 s", "30 s", "60 s", "90 s"]),
        (840, ["0 s", "5 min", "10 min"]),
        (28_000, ["0 s", "2 h", "4 h", "6 h"]),
        (20 * 86_400, ["0 s", "5 days", "10 days", "15 days", "20 days"]),
    ],
)
def test_marks_are_told_as_people_count_time(seconds, labels):
    ticks = drawn(step(0, seconds), end=seconds, now=seconds).ticks

    assert [tick.label for tick in ticks] == labels
