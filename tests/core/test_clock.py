"""The clock follows the database, and no step of this machine's own clock."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection
from django.utils import timezone

from apps.core import clock as module
from apps.core.clock import Clock, clock, follow

MINUTES = timedelta(minutes=5)
CLOSE = timedelta(seconds=2)


@pytest.fixture(autouse=True)
def own_time_after() -> Iterator[None]:
    yield
    clock.forget()


def test_before_it_was_set_it_tells_this_machines_time() -> None:
    assert abs(Clock().now() - timezone.now()) < CLOSE


@pytest.mark.parametrize("off", [MINUTES, -MINUTES])
def test_a_database_that_is_minutes_off_is_followed(off: timedelta) -> None:
    mine = Clock()

    skew = mine.set_by(lambda: timezone.now() + off)

    assert abs(mine.now() - (timezone.now() + off)) < CLOSE
    assert abs(skew + off) < CLOSE


def test_a_step_of_this_machines_clock_changes_nothing(monkeypatch) -> None:
    mine = Clock()
    mine.set_by(timezone.now)
    before = mine.now()

    monkeypatch.setattr(timezone, "now", lambda: datetime(2050, 1, 1, tzinfo=UTC))

    assert timedelta(0) <= mine.now() - before < CLOSE


def test_a_slow_answer_says_too_little(monkeypatch) -> None:
    mine = Clock()
    mine.set_by(timezone.now)
    moments = iter([100.0, 104.0, 104.0, 104.0])
    known = mine._anchor

    monkeypatch.setattr(module, "elapsed", lambda: next(moments))
    mine.set_by(lambda: timezone.now() + MINUTES)

    assert mine._anchor == known


def test_a_clock_that_is_off_is_told_once(caplog) -> None:
    mine = Clock()
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            mine.set_by(lambda: timezone.now() + MINUTES)

    assert [r.message for r in caplog.records if "off the database's" in r.message] == [
        caplog.records[0].message
    ]


@pytest.mark.django_db
def test_postgresql_is_asked_each_time_and_sqlite_once() -> None:
    follow()
    first = clock._anchor
    follow()

    assert clock.is_set
    assert (clock._anchor != first) == (connection.vendor == "postgresql")
    assert abs(clock.now() - timezone.now()) < CLOSE
