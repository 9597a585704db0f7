"""Waiting for PostgreSQL: as long as waiting may help, and not longer than is said."""

from __future__ import annotations

import pytest
from django.db import OperationalError
from django.test import override_settings

from netra import arrival

AWAY = OperationalError("connection failed: Connection refused")


@pytest.mark.parametrize(
    ("said", "passing"),
    [
        ("connection failed: Connection refused", True),
        ("connection timeout expired", True),
        ("FATAL:  the database system is starting up", True),
        ("FATAL:  the database system is shutting down", True),
        ("FATAL:  sorry, too many clients already", True),
        ("FATAL:  remaining connection slots are reserved", True),
        ('FATAL:  database "nope" does not exist', False),
        ('FATAL:  password authentication failed for user "netra"', False),
    ],
)
def test_only_what_may_pass_is_waited_for(said: str, passing: bool) -> None:
    assert arrival.passes(OperationalError(said)) is passing


def test_pauses_grow_to_five_seconds_and_end_with_the_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [100.0]
    monkeypatch.setattr(arrival.time, "monotonic", lambda: now[0])
    paused = []

    def pass_the_time() -> None:
        for pause in arrival.pauses(AWAY):
            paused.append(pause)
            now[0] += pause

    with pytest.raises(OperationalError) as raised:
        pass_the_time()

    assert raised.value is AWAY
    assert paused[:6] == [1, 2, 3, 4, 5, 5]
    assert 50 <= sum(paused) <= arrival.PATIENCE


@override_settings(SQLITE=False)
def test_it_is_told_once_and_over_when_the_database_answers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answers = [AWAY, AWAY, AWAY, None]
    monkeypatch.setattr(arrival, "look", lambda: answers.pop(0))
    monkeypatch.setattr(arrival.time, "sleep", lambda _: None)
    told: list[str] = []

    arrival.wait_for_database(told.append)

    assert answers == []
    (line,) = told
    assert "PostgreSQL does not answer yet (connection failed" in line
    assert "60 s" in line


@override_settings(SQLITE=True)
def test_a_file_is_not_waited_for() -> None:
    assert arrival.look() is None
