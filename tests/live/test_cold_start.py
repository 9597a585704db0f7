"""Fifty sockets on a server that is still coming up: each is served, or told 4503 in words."""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests

from tests.live.chat import Chat
from tests.live.cluster import POSTGRES, AbsentError, Cluster, Process
from tests.live.installation import ROOT, START_SECONDS, Installation, free_port

sys.path.insert(0, str(ROOT / "deploy"))
from balancer import Balancer

pytestmark = [
    pytest.mark.live,
    pytest.mark.integration,
    pytest.mark.xdist_group("live-cold"),
]
CROWD = 50
KINDS = ["daphne", "uvicorn"]


class ComingServer(Process):
    """A server of a cluster whose database is behind a wire that nobody has laid yet."""

    def __init__(self, cluster: Cluster, kind: str) -> None:
        self.port, self.people = free_port(), cluster.people
        super().__init__(
            cluster, "serve", "--server", kind, "--port", str(self.port)
        )  # fmt: skip

    def readyz(self) -> requests.Response:
        return requests.get(f"http://127.0.0.1:{self.port}/readyz", timeout=20)

    async def until_ready(self, status: int) -> requests.Response:
        give_up = time.monotonic() + START_SECONDS
        while True:
            try:
                answer = await asyncio.to_thread(self.readyz)
            except requests.ConnectionError:
                assert self.popen.poll() is None, self.said()
            else:
                if answer.status_code == status:
                    return answer
            assert time.monotonic() < give_up, self.said()
            await asyncio.sleep(0.2)


class FarCluster(Cluster):
    """A cluster that reaches PostgreSQL through a port of its own, and has no Redis."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, f"redis://127.0.0.1:{free_port()}/0")
        self.wire = free_port()
        self.laid = False

    @property
    def environment(self) -> dict[str, str]:
        known = super().environment
        parts = urlsplit(known["NETRA_DATABASE_URL"])
        person = (
            f"{parts.username}:{parts.password}" if parts.password else parts.username
        )
        far = parts._replace(netloc=f"{person}@127.0.0.1:{self.wire}").geturl()
        return known | ({"NETRA_DATABASE_URL": far} if self.laid else {})

    @asynccontextmanager
    async def reached(self) -> AsyncIterator[None]:
        """The database, for as long as this lasts."""
        wire = await Balancer([urlsplit(POSTGRES).port or 5432]).serve(self.wire)
        try:
            yield
        finally:
            wire.close()


@pytest.fixture(scope="module")
def far_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FarCluster]:
    made = FarCluster(tmp_path_factory.mktemp("far"))
    try:
        made.create()
    except AbsentError as error:
        pytest.skip(str(error))
    made.laid = True
    yield made
    made.close()


@pytest.fixture
def far(
    far_cluster: FarCluster, request: pytest.FixtureRequest
) -> Iterator[FarCluster]:
    yield far_cluster
    request.node.add_report_section("teardown", "logs", far_cluster.said())
    for process in far_cluster.processes:
        process.kill()
    far_cluster.processes.clear()


async def first_words(at, person: str) -> str:
    """What a socket hears first; a port that does not listen yet is tried again."""
    give_up = time.monotonic() + START_SECONDS
    while True:
        try:
            chat = await Chat.open(at, person)
        except ConnectionRefusedError:
            assert time.monotonic() < give_up
            await asyncio.sleep(0.02)
            continue
        frame = await chat.receive()
        if frame["type"] == "error":
            return f"{frame['data']['code']} {await chat.close_code()}"
        await chat.close()
        return str(frame["type"])


async def crowd(at, people: list[str]) -> Counter[str]:
    return Counter(await asyncio.gather(*(first_words(at, each) for each in people)))


@pytest.mark.mission_critical
@pytest.mark.parametrize("kind", KINDS)
async def test_fifty_sockets_while_the_server_starts(
    seeded: Installation, tmp_path: Path, kind: str
):
    cold = Installation(tmp_path, server=kind)
    cold.copy_of(seeded)
    people = [cold.someone() for _ in range(CROWD)]
    try:
        _, heard = await asyncio.gather(
            asyncio.to_thread(cold.start), crowd(cold, people)
        )
        async with asyncio.timeout(START_SECONDS):
            while await first_words(cold, people[0]) != "connection_established":  # noqa: ASYNC110
                await asyncio.sleep(0.1)
        then = await crowd(cold, people)
    finally:
        cold.kill()

    assert set(heard) <= {"connection_established", "unavailable 4503"}, heard
    assert heard.total() == then["connection_established"] == CROWD
    assert "Traceback" not in cold.said()


@pytest.mark.faults
@pytest.mark.mission_critical
@pytest.mark.parametrize("kind", KINDS)
async def test_fifty_sockets_while_postgresql_and_redis_are_still_away(
    far: FarCluster, kind: str
):
    people = [far.someone() for _ in range(CROWD)]
    server = ComingServer(far, kind)
    far.processes.append(server)

    assert await crowd(server, people) == {"unavailable 4503": CROWD}
    assert (await server.until_ready(503)).json()["status"] == "not ready"
    page = f"http://127.0.0.1:{server.port}/accounts/login/"
    refused = await asyncio.to_thread(requests.get, page, timeout=20)
    assert (refused.status_code, refused.json()["code"]) == (503, "unavailable")

    async with far.reached():
        coming = asyncio.create_task(crowd(server, people))
        told = (await server.until_ready(200)).json()
        assert set(await coming) <= {"connection_established", "unavailable 4503"}
        assert await crowd(server, people) == {"connection_established": CROWD}
        assert told["status"] == "degraded"
        assert "redis is away" in told["checks"]["hints"]["detail"]
        assert server.terminate() == 0
    assert server.said().count("PostgreSQL does not answer yet") == 1
    assert "Traceback" not in server.said()


@pytest.mark.faults
@pytest.mark.parametrize("kind", KINDS)
async def test_who_waits_for_postgresql_ends_at_once_when_told(
    far: FarCluster, kind: str
):
    server = ComingServer(far, kind)
    far.processes.append(server)
    await server.until_ready(503)

    server.popen.send_signal(signal.SIGTERM)

    assert await asyncio.to_thread(server.popen.wait, 15) == 0
    assert "Traceback" not in server.said()


@pytest.mark.faults
async def test_a_worker_waits_for_postgresql_and_then_works(far: FarCluster):
    worker = Process(far, "worker", "--concurrency", "5")
    far.processes.append(worker)
    await asyncio.to_thread(worker.until_said, "PostgreSQL does not answer yet")

    async with far.reached():
        await asyncio.to_thread(worker.until_said, "Netra runs up to")
        assert await asyncio.to_thread(worker.terminate) == 0
    assert "Traceback" not in worker.said()
