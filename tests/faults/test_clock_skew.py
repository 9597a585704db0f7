"""F15: a worker's and a server's clock are five minutes off, in either direction. Nothing expires early."""

from __future__ import annotations

import subprocess
import sys
import time
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
LIBRARY = next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)


def shifted(seconds: int) -> dict[str, str]:
    """The environment of a process whose clock is that far off; what it counts in seconds is right."""
    if LIBRARY is None:
        pytest.skip("libfaketime is absent; the Debian package is `faketime`.")
    return {
        "LD_PRELOAD": str(LIBRARY),
        "FAKETIME": f"{seconds:+d}s",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }


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
        times = [event["at"] for event in one.events()]
        assert times == sorted(times)


def test_the_shifted_clock_is_a_shifted_clock(field: Field) -> None:
    said = subprocess.run(
        [sys.executable, "-c", "import time; print(time.time())"],
        env=field.environment | shifted(SKEW),
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    assert abs(float(said.stdout) - time.time() - SKEW) < SKEW / 2
