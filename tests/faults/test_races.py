"""F23 and F25 on both databases: stop against end a thousand times, and four sweepers at once."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.faults.conftest import Place, holds
from tests.faults.stores import Postgres
from tests.live.cluster import Cluster
from tests.live.conftest import seeded  # noqa: F401 - a fixture, used by name
from tests.live.installation import ROOT, Installation

pytestmark = [
    pytest.mark.faults,
    pytest.mark.integration,
    pytest.mark.mission_critical,
    pytest.mark.xdist_group("faults-races"),
]
RACES = Path(__file__).with_name("races.py")
TIMES, ROWS, SWEEPERS = 1000, 60, 4
START_SECONDS = 6  # until every sweeper has loaded


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """A database with people in it, and no process on it."""
    if request.param == "sqlite":
        installation = Installation(tmp_path, server="uvicorn")
        installation.copy_of(request.getfixturevalue("seeded"))
        yield installation
        return
    postgres: Postgres = request.getfixturevalue("postgres")
    cluster = Cluster(tmp_path, postgres=postgres.url)
    cluster.create()
    yield cluster
    cluster.close()


def started(place: Place, *arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(RACES), *map(str, arguments)],
        cwd=ROOT, env=place.environment, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def result(process: subprocess.Popen[str]) -> dict[str, Any]:
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    return dict(json.loads(out))


def test_a_stop_that_races_with_an_end_leaves_exactly_one(place: Place) -> None:
    won = result(started(place, "stop", TIMES))

    assert sum(won.values()) == TIMES
    assert set(won) == {"completed", "cancelled"}  # each won at least once
    holds(place)


def test_four_sweepers_at_once_handle_each_row_once(place: Place) -> None:
    result(started(place, "prepare", ROWS))
    at = time.time() + START_SECONDS
    sweepers = [started(place, "sweep", at) for _ in range(SWEEPERS)]

    handled = [result(sweeper)["handled"] for sweeper in sweepers]

    assert sum(handled) == ROWS
    states = place.rows(
        "SELECT state, count(*) FROM executions_execution GROUP BY state ORDER BY state"
    )
    assert states == [("dead", 20), ("pending", 20), ("timeout", 20)]
    holds(place)
