"""F20: the disk is full, on SQLite and on PostgreSQL. New questions are refused, the rest goes on."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import shutil
import sqlite3
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import httpx
import psycopg
import pytest

from tests.faults.client import FaultClient
from tests.faults.conftest import LEASE, Armed, Field, OpenClient, Place, holds
from tests.faults.crowd import ends_well, put, turn
from tests.faults.stores import Postgres
from tests.live.conftest import seeded  # noqa: F401 - a fixture, used by name
from tests.live.installation import Installation

pytestmark = [
    pytest.mark.faults,
    pytest.mark.live,
    pytest.mark.integration,
    pytest.mark.xdist_group("faults-rolling"),
]
SIZE = 64 * 1024 * 1024
BALLAST = "ballast"
PATIENCE = 60.0


@pytest.fixture
def small() -> Iterator[Path]:
    """A folder on a disk of its own, of 64 MiB, where PostgreSQL may go too."""
    mount = shutil.which("mount")
    if mount is None or os.geteuid() != 0:
        pytest.skip("only root can mount a small disk")
    folder = Path(tempfile.mkdtemp(prefix="netra-faults-"))
    folder.chmod(0o755)
    options = f"size={SIZE},mode=0755"
    command = [mount, "-t", "tmpfs", "-o", options, "none", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        folder.rmdir()
        pytest.skip(f"no small disk can be mounted here: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)
    folder.rmdir()


def fill(folder: Path) -> None:
    """Leave not a byte."""
    with (folder / BALLAST).open("wb", buffering=0) as file:
        for size in (1 << 20, 4096, 1):
            with contextlib.suppress(OSError):
                while True:
                    file.write(b"\0" * size)


def free(folder: Path) -> None:
    (folder / BALLAST).unlink()


async def refused_and_taken_later(
    place: Place, port: int, small: Path, alice: FaultClient, bob: FaultClient
) -> None:
    """Ask with a full disk, read meanwhile, and have the answer once there is room again."""
    slow = await put(alice, "slow-turn")
    await turn(bob)
    await alice.until_text(slow["execution_id"])
    token = place.people[bob.person or ""]["token"]
    web = httpx.AsyncClient(
        base_url=f"http://127.0.0.1:{port}/api/v1/",
        headers={"Authorization": f"Bearer {token}"},
        timeout=PATIENCE,
    )

    async with web:
        await asyncio.to_thread(fill, small)
        asking = asyncio.create_task(put(bob, "golden-turn", secrets.token_hex(15_000)))
        async with asyncio.timeout(PATIENCE):
            while not bob.refused:  # noqa: ASYNC110 - a list rings no bell
                await asyncio.sleep(0.05)
        own = (await web.get("executions/")).json()["results"][0]["id"]
        read = [
            (await web.get(page)).status_code
            for page in ("threads/", "me/", f"executions/{own}/")
        ]
        await asyncio.to_thread(free, small)

    codes = {frame["data"]["code"] for frame in bob.refused}
    assert codes == {"storage_full"}
    assert read == [200, 200, 200]
    await ends_well(bob, await asking, "golden-turn")
    await ends_well(alice, slow, "slow-turn")
    assert (alice.connections, bob.connections) == (1, 1)


@pytest.fixture
def on_sqlite(
    small: Path,
    seeded: Installation,  # noqa: F811 - the fixture itself
    request: pytest.FixtureRequest,
) -> Iterator[Armed]:
    netra = Armed(small, server="uvicorn")
    netra.copy_of(seeded)
    netra.start()
    yield netra
    request.node.add_report_section("teardown", "server log", netra.said())
    netra.kill()
    holds(netra)


async def test_on_sqlite_a_full_disk_refuses_the_new_and_loses_nothing(
    on_sqlite: Armed, small: Path, client: OpenClient
) -> None:
    alice, bob = await client(on_sqlite), await client(on_sqlite)

    await refused_and_taken_later(on_sqlite, on_sqlite.port, small, alice, bob)

    with closing(sqlite3.connect(small / "netra.sqlite3")) as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


class Confined(Field):
    """A field whose tables, but not the server's log, lie on a small disk."""

    space: Path

    def begin(self) -> None:
        self.create()
        with psycopg.connect(self.postgres, autocommit=True) as database:
            database.execute(f"CREATE TABLESPACE small LOCATION '{self.space}'")
            database.execute(f'ALTER DATABASE "{self.name}" SET TABLESPACE small')
        (self.server,) = self.servers(1)

    def close(self) -> None:
        super().close()
        with psycopg.connect(self.postgres, autocommit=True) as database:
            database.execute("DROP TABLESPACE IF EXISTS small")


@pytest.fixture
def on_postgresql(
    small: Path, postgres: Postgres, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[Confined]:
    with ExitStack() as stack:
        folder = tmp_path / "var"
        folder.mkdir()
        # Without Redis the server runs agents itself.
        made = Confined(folder, postgres=postgres.url, NETRA_LEASE_SECONDS=LEASE)
        made.space = small / "tables"
        made.space.mkdir()
        shutil.chown(made.space, "postgres", "postgres")
        stack.callback(made.close)
        made.begin()
        yield made
        request.node.add_report_section("teardown", "logs", made.said())
        holds(made)


async def test_on_postgresql_a_full_disk_refuses_the_new_and_loses_nothing(
    on_postgresql: Confined, small: Path, client: OpenClient
) -> None:
    alice, bob = await client(on_postgresql), await client(on_postgresql)
    port = on_postgresql.server.port

    await refused_and_taken_later(on_postgresql, port, small, alice, bob)
