"""Registered sweeps: run when due, one failing never keeps another from running."""

from __future__ import annotations

import pytest

from apps.core import sweeps


@pytest.fixture(autouse=True)
def nothing_is_registered(monkeypatch) -> None:
    monkeypatch.setattr(sweeps, "_sweeps", {})


def test_a_sweep_runs_when_it_is_due_and_not_before() -> None:
    ran = []
    sweeps.register("a", lambda: ran.append("a"), every=10)
    sweeps.register("b", lambda: ran.append("b"), every=3)

    for now in (100, 101, 103, 109, 110):
        sweeps.run_due(now)

    assert ran == ["a", "b", "b", "b", "a"]


def test_a_sweep_that_fails_is_logged_by_name_and_tried_again_later(caplog) -> None:
    ran = []

    def fails() -> None:
        ran.append("fails")
        raise ValueError("on purpose")

    sweeps.register("broken", fails, every=5)
    sweeps.register("sound", lambda: ran.append("sound"), every=5)

    sweeps.run_due(100)
    sweeps.run_due(105)

    assert ran == ["fails", "sound", "fails", "sound"]
    assert "the sweep broken failed" in caplog.text


def test_a_name_is_registered_once() -> None:
    sweeps.register("a", lambda: None, every=1)
    sweeps.register("a", lambda: None, every=2)

    assert sweeps.registered() == {"a": 2}
