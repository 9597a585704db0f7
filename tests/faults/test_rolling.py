"""F24 and upgrades: servers and workers are replaced one after another, under load. Nobody notices."""

from __future__ import annotations

import asyncio
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.faults.client import FaultClient
from tests.faults.conftest import LEASE, Field, OpenClient, holds
from tests.faults.crowd import SLOW, chatting, put
from tests.faults.release import Upgraded, unpacked
from tests.faults.stores import Postgres, Redis
from tests.live.chat import Frame
from tests.live.cluster import AbsentError, Server
from tests.live.installation import ROOT

pytestmark = [
    pytest.mark.faults,
    pytest.mark.live,
    pytest.mark.integration,
    pytest.mark.mission_critical,
    pytest.mark.xdist_group("faults-rolling"),
]
SUPERVISORS_SECONDS = 10.0


def states(field: Field) -> Counter[str]:
    rows = field.rows("SELECT state FROM executions_execution")
    return Counter(str(state) for (state,) in rows)


def errors(people: list[FaultClient]) -> list[Frame]:
    """What people were told, but for the farewell of a server that goes."""
    return [
        frame
        for one in people
        for frame in one.frames
        if frame["type"] == "error" and frame["data"]["code"] != "unavailable"
    ]


def replaced(people: list[FaultClient], old: Server, new: Server) -> None:
    """From now on people come to the new server."""
    for one in people:
        one.places = [new if place is old else place for place in one.places]


async def test_a_rolling_restart_under_load_fails_nothing(
    field: Field, client: OpenClient
) -> None:
    before = states(field)
    servers = field.servers(2)
    workers = [field.worker() for _ in range(2)]
    people = [
        await client(field, *servers[n % 2 :], *servers[: n % 2]) for n in range(6)
    ]

    async with chatting(
        people, "golden-turn", "slow-turn", "golden-turn", "golden-turn"
    ) as crowd:
        await crowd.until(6)
        for n in range(2):
            workers.append(await asyncio.to_thread(field.worker))
            assert await asyncio.to_thread(workers[n].terminate) == 0, workers[n].said()
            await crowd.until(6)
        for n in range(2):
            (new,) = await asyncio.to_thread(field.servers, 1)
            replaced(people, servers[n], new)
            assert await asyncio.to_thread(servers[n].terminate) == 0, servers[n].said()
            await crowd.until(6)

    after = states(field) - before
    assert set(after) == {"completed"}
    assert after["completed"] == sum(crowd.turns)
    assert errors(people) == []


async def test_a_worker_that_may_not_finish_hands_back_and_another_begins_anew(
    field: Field, client: OpenClient
) -> None:
    alice = await client(field)
    leaving = field.worker(NETRA_DRAIN_SECONDS="1")
    slow = await put(alice, "slow-turn")
    await alice.until_text(slow["execution_id"])

    assert await asyncio.to_thread(leaving.terminate) == 0
    field.spare.thaw()
    end = await alice.end_of(slow["execution_id"], field.RECOVERY)

    assert end["data"]["text"] == SLOW
    assert alice.attempts(slow["execution_id"]) == [2]
    ((fence, most),) = field.rows(
        "SELECT fence, max_attempts FROM executions_execution WHERE id = ?",
        slow["execution_id"],
    )
    assert (fence, most) == (2, 4)  # a hand-back costs none of the attempts


@pytest.fixture
def upgraded(
    postgres: Postgres, redis_server: Redis, tmp_path: Path
) -> Iterator[Upgraded]:
    """A database of the release before, and nothing running on it."""
    with ExitStack() as stack:
        try:
            tree = unpacked(tmp_path / "before")
        except AbsentError as error:
            pytest.skip(str(error))
        made = Upgraded(
            tmp_path / "var", redis_server.url, postgres=postgres.url,
            NETRA_LEASE_SECONDS=LEASE,
        )  # fmt: skip
        made.folder.mkdir()
        made.tree = tree
        stack.callback(made.close)
        made.begin()
        yield made
        made.tree = ROOT
        holds(made)


def end(server: Server) -> None:
    """SIGTERM, and kill -9 after a while, as supervisors do: that release could wait for ever."""
    server.popen.terminate()
    try:
        server.until_dead(SUPERVISORS_SECONDS)
    except subprocess.TimeoutExpired:
        server.kill()


async def test_an_upgrade_under_load_process_by_process_fails_nothing(
    upgraded: Upgraded, client: OpenClient, request: pytest.FixtureRequest
) -> None:
    request.addfinalizer(
        lambda: request.node.add_report_section("teardown", "logs", upgraded.said())
    )
    (old_server,) = upgraded.servers(1)
    old_worker = upgraded.worker()
    people = [await client(upgraded, old_server) for _ in range(4)]

    async with chatting(
        people, "golden-turn", "slow-turn", "golden-turn", "golden-turn"
    ) as crowd:
        await crowd.until(6)
        upgraded.tree = ROOT
        await asyncio.to_thread(upgraded.migrate)
        await crowd.until(10)  # the old code on the new tables
        new_worker = await asyncio.to_thread(upgraded.worker)
        await crowd.until(6)  # both workers
        assert await asyncio.to_thread(old_worker.terminate) == 0, old_worker.said()
        await crowd.until(6)  # the old server with the new worker
        (new_server,) = await asyncio.to_thread(upgraded.servers, 1)
        replaced(people, old_server, new_server)
        await asyncio.to_thread(end, old_server)
        await crowd.until(10)

    assert new_worker.alive
    assert states(upgraded) == {"completed": sum(crowd.turns)}
    assert errors(people) == []
    assert "Traceback" not in old_server.said() + old_worker.said()
