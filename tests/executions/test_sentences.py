"""How a breaker is told to staff."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest

from apps.executions import sentences
from apps.executions.circuit import RATE_LIMITED, CircuitState

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


@dataclass(frozen=True)
class Told:
    """What a row says of a breaker."""

    state: str
    open_until: datetime | None = None
    last_error: str = ""


def test_every_state_has_its_badge():
    assert set(sentences.BADGES) == set(CircuitState)


@pytest.mark.parametrize(
    ("breaker", "said"),
    [
        (None, "closed at present"),
        (Told("closed"), "closed at present"),
        (Told("half_open", NOW), "half open: one call at a time"),
        (Told("open", NOW + timedelta(seconds=20)), "refused for 20.0 s more, then"),
        (Told("open", NOW), "its time is over"),
        (Told("open", NOW - timedelta(hours=1)), "its time is over"),
        (
            Told("open", NOW + timedelta(seconds=20), RATE_LIMITED),
            "asked for a pause: calls are refused for 20.0 s more",
        ),
    ],
)
def test_a_breaker_is_told_as_it_stands(breaker, said):
    assert said in sentences.stands(breaker, NOW)


def test_only_an_open_one_has_time_left():
    until = NOW + timedelta(seconds=5)

    left = [
        sentences.left_open(Told(state, until), NOW)
        for state in ("open", "closed", "half_open")
    ]

    assert left == [timedelta(seconds=5), None, None]
