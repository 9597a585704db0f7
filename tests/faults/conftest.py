"""Where faults happen, and how to write one.

A fault is a test with four parts: a place, a FaultClient that asks, the fault, and `holds`:

    async def test_what_must_come_of_it(field: Field, client: OpenClient) -> None:
        alice = await client(field)                         # never gives up, checks I3 as it hears
        worker = field.worker(fault="before_finish:1")      # dies there (apps.core.faults.NAMES)
        asked = await alice.ask("golden-turn")
        worker.until_dead()
        field.spare.thaw()                                  # a second worker, ready and frozen
        await alice.end_of(asked["execution_id"], field.RECOVERY)

`client` closes and checks every client at the end (what it heard = the log), and `field`, `victim` and
`embedded` run `manage.py check_invariants` in a fresh process after each test: no test needs to do so.
Places: `embedded(fault=…)` one process on SQLite, made by a function, so that it can be started armed;
`victim` the same on each kind of server, running; `field` PostgreSQL, Redis, a server, workers, leases
of six seconds. `postgres` and `redis_server` are private: freeze, kill, restart them, but leave them
running. Put `FaultProxy` before a port to spoil the wire. Wait for conditions (`eventually`), not times.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.faults.client import FaultClient
from tests.faults.stores import Postgres, Redis
from tests.live.cluster import AbsentError, Cluster, Process, Server
from tests.live.conftest import KINDS, seeded  # noqa: F401 - a fixture, used by name
from tests.live.installation import ROOT, Installation

LEASE = "6"  # seconds; the product's own 30 where a figure is measured
Place = Installation | Cluster
OpenClient = Callable[..., Awaitable[FaultClient]]
Embedded = Callable[..., Installation]


def holds(place: Place) -> None:
    """I1 to I10 over the database, looked at by a fresh process."""
    done = subprocess.run(
        [sys.executable, "manage.py", "check_invariants"],
        cwd=ROOT,
        env=place.environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, ""), done.stdout + done.stderr


async def eventually(
    what: Callable[[], object], patience: float = 20.0, *, every: float = 0.05
) -> None:
    """Return once `what` is true."""
    async with asyncio.timeout(patience):
        while not await asyncio.to_thread(what):  # noqa: ASYNC110 - a database rings no bell
            await asyncio.sleep(every)


def armed(fault: str) -> dict[str, str]:
    """The environment of a process that shall die at `fault`."""
    return {"NETRA_FAULT": fault, "NETRA_TESTING": "1"} if fault else {}


# -- clients -----------------------------------------------------------------------------


@pytest.fixture
async def client() -> AsyncIterator[OpenClient]:
    """Makes clients that connect when they are used; at the end each must have heard the log."""
    opened: list[tuple[FaultClient, Place]] = []

    async def open_one(place: Place, *servers: Server) -> FaultClient:
        targets = [place] if isinstance(place, Installation) else servers
        if isinstance(place, Field) and not servers:
            targets = [place.server]
        one = FaultClient(place.someone(), *targets)
        opened.append((one, place))
        return one

    yield open_one
    for one, place in opened:
        await one.catch_up(place.rows)
        await one.close()
        await asyncio.to_thread(one.check, place.rows)


# -- one process on SQLite ---------------------------------------------------------------


class Armed(Installation):
    """An installation whose server may be started with a fault in it."""

    fault = ""

    @property
    def environment(self) -> dict[str, str]:
        return super().environment | armed(self.fault) | {"NETRA_LEASE_SECONDS": LEASE}

    def until_dead(self, patience: float = 30.0) -> int:
        assert self._process is not None
        return self._process.wait(patience)

    def restart(self) -> None:
        """Start again, without a fault."""
        self.kill()
        self.fault = ""
        self.start()

    def doomed(self, fault: str) -> int:
        """Kill it, start it with a fault in it, and return the exit code it died with."""
        self.kill()
        self.fault = fault
        self.launch()
        return self.until_dead()


@pytest.fixture
def embedded(
    request: pytest.FixtureRequest,
    seeded: Installation,  # noqa: F811 - the fixture itself
    tmp_path: Path,
) -> Iterator[Embedded]:
    """Makes and starts a server on SQLite; one with a `fault`, where it shall die, is not waited for."""
    made: list[Armed] = []

    def start(fault: str = "", server: str = "uvicorn") -> Armed:
        folder = tmp_path / str(len(made))
        folder.mkdir()
        installation = Armed(folder, server=server)
        installation.copy_of(seeded)
        installation.fault = fault
        made.append(installation)
        installation.launch()
        if not fault:
            installation.until_listening()
        return installation

    yield start
    for installation in made:
        installation.kill()
        request.node.add_report_section("teardown", "server log", installation.said())
        installation.fault = ""
        holds(installation)


class Draining(Installation):
    """One whose server gives what runs time enough to end, on a busy machine too."""

    @property
    def environment(self) -> dict[str, str]:
        return super().environment | {"NETRA_DRAIN_SECONDS": "15"}


@pytest.fixture(params=KINDS)
def victim(
    request: pytest.FixtureRequest,
    seeded: Installation,  # noqa: F811 - the fixture itself
    tmp_path: Path,
) -> Iterator[Installation]:
    """A running server of each kind on a folder of its own."""
    installation = Draining(tmp_path, server=request.param)
    installation.copy_of(seeded)
    installation.start()
    yield installation
    installation.kill()
    request.node.add_report_section("teardown", "server log", installation.said())
    holds(installation)


# -- PostgreSQL, Redis, servers and workers ----------------------------------------------


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A PostgreSQL of this test process's own."""
    try:
        service = Postgres()
    except AbsentError as error:
        pytest.skip(str(error))
    with service:
        yield service


@pytest.fixture(scope="session")
def redis_server() -> Iterator[Redis]:
    """A Redis of this test process's own."""
    try:
        service = Redis()
    except AbsentError as error:
        pytest.skip(str(error))
    with service:
        yield service


class Field(Cluster):
    """A cluster with one server, and one worker in reserve, frozen until it is wanted."""

    RECOVERY = 40.0  # a lease, a sweep, and a turn of ten seconds on a busy machine
    server: Server
    spare: Process

    def begin(self) -> None:
        self.create()
        (self.server,) = self.servers(1)

    def worker(
        self, concurrency: int = 50, *, fault: str = "", **settings: str
    ) -> Process:
        return super().worker(concurrency, **armed(fault), **settings)

    def ready(self) -> None:
        """Before each test: no worker but the spare one, which is ready and frozen."""
        self.clear()
        spare = getattr(self, "spare", None)
        if spare is None or not spare.alive:
            self.spare = self.worker()
        else:
            self.spare.thaw()
        assert (
            self.rows("SELECT 1 FROM executions_execution WHERE finished_at IS NULL")
            == []
        )
        self.spare.freeze()

    def clear(self) -> None:
        """Kill every worker but the spare one."""
        spare = getattr(self, "spare", None)
        for process in self.processes:
            if process not in {self.server, spare}:
                process.kill()
        self.processes = [p for p in self.processes if p in {self.server, spare}]

    def unfinished(self) -> int:
        query = "SELECT id FROM executions_execution WHERE finished_at IS NULL"
        return len(self.rows(query))


@pytest.fixture(scope="module")
def ground(
    postgres: Postgres,
    redis_server: Redis,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Field]:
    """One field for all tests of a module."""
    with ExitStack() as stack:
        folder = tmp_path_factory.mktemp("field")
        made = Field(
            folder, redis_server.url, postgres=postgres.url, NETRA_LEASE_SECONDS=LEASE
        )
        stack.callback(made.close)
        made.begin()
        yield made


@pytest.fixture
def field(ground: Field, request: pytest.FixtureRequest) -> Iterator[Field]:
    """The field, with nothing at work; afterwards everything must have ended, and hold."""
    ground.ready()
    yield ground
    request.node.add_report_section("teardown", "logs", ground.said())
    ground.spare.thaw()
    give_up = time.monotonic() + Field.RECOVERY
    while ground.unfinished() and time.monotonic() < give_up:
        time.sleep(0.1)
    holds(ground)
