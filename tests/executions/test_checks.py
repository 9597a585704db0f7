"""An execution whose work cannot be found is noticed at start, not at three in the morning."""

from __future__ import annotations

import pytest

from apps.executions import checks, runners


def test_the_work_that_is_registered_exists() -> None:
    assert "agents.turn" in runners.registered()
    assert checks.check_runners() == []


def test_e101_no_work_at_all_is_an_error(monkeypatch) -> None:
    monkeypatch.setattr(runners, "_paths", {})

    (found,) = checks.check_runners()

    assert (found.id, bool(found.hint)) == ("netra.E101", True)


@pytest.mark.parametrize(
    "path", ["apps.agents.absent:run_turn", "absent:run_turn", "apps.agents.turns", ""]
)
def test_e102_work_that_leads_nowhere_is_an_error(path: str, monkeypatch) -> None:
    monkeypatch.setattr(runners, "_paths", {"agents.turn": path})

    (found,) = checks.check_runners()

    assert (found.id, bool(found.hint)) == ("netra.E102", True)
    assert repr(path) in found.msg
