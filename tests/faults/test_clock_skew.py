"""F15: a worker's and a server's clock are five minutes off, in either direction. Nothing expires early."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest

from tests.faults.conftest import Field, OpenClient
from tests.faults.crowd import SLOW, turn

pytestmark = [
    pytest.mark.faults,
    pytest.mark.live,
    pytest.mark.integration,
    pytest.mark.mission_critical,
    pytest.mark.xdist_group("faults-redis"),
]
SKEW = 300
CLOSE = timedelta(
    seconds=1
)  # two processes know the database's time no better than that
SHIFTING = Path(__file__).with_name("skewed")


def shifted(seconds: int) -> dict[str, str]:
    """The environment of a process whose clock is that far off."""
    return {"PYTHONPATH": str(SHIFTING), "NETRA_TEST_SKEW": str(seconds)}


@pytest.mark.parametrize("ahead", [SKEW, -SKEW])
async def test_wrong_clocks_neither_end_a_lease_early_nor_keep_it_for_long(
    ahead: int, field: Field, client: OpenClient
) -> None:
    (server,) = field.servers(1, **shifted(ahead))
    worker = field.worker(**shifted(-ahead))
    right, wrong = await client(field), await client(field, server)
    await turn(right)  # by now the worker has loaded all it needs
    first = [await one.ask("slow-turn") for one in (right, wrong)]
    queued = await wrong.ask("golden-turn", thread_id=first[1]["thread_id"])
    for one, its in zip((right, wrong), first, strict=True):
        end = await one.end_of(its["execution_id"], patience=60)
        assert end["data"]["text"] == SLOW
        assert one.attempts(its["execution_id"]) == []
    await wrong.end_of(queued["execution_id"], patience=60)

    lost = await wrong.ask("slow-turn")
    await wrong.until_text(lost["execution_id"])
    worker.kill()
    field.spare.thaw()
    end = await wrong.end_of(lost["execution_id"], field.RECOVERY)

    assert end["data"]["text"] == SLOW
    assert wrong.attempts(lost["execution_id"]) == [2]
    assert server.said().count("off the database's") == 1  # it tells, once
    for one in (right, wrong):
        times = [datetime.fromisoformat(event["at"]) for event in one.events()]
        assert all(later - earlier > -CLOSE for earlier, later in pairwise(times))


def test_the_shifted_clock_is_a_shifted_clock() -> None:
    code = (
        "import time; from django.utils import timezone;"
        "print(time.time(), timezone.now().timestamp())"
    )
    said = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | shifted(SKEW),
        capture_output=True, text=True, timeout=30, check=True,
    )  # fmt: skip
    for told in said.stdout.split():
        assert abs(float(told) - time.time() - SKEW) < SKEW / 2
