"""The demo, seeded for a test."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.utils import timezone

from apps.ops.demo import spending
from apps.ops.demo.seed import seed


@pytest.fixture
def var(tmp_path: Path, settings) -> Path:
    settings.NETRA_VAR = tmp_path
    return tmp_path


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two weeks of usage: enough for every scene, and quick."""
    monkeypatch.setattr(spending, "DAYS", 14)


@pytest.fixture
def demo(db: None, var: Path, short: None) -> None:
    seed(timezone.now())
