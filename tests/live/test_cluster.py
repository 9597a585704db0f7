"""`make cluster` as it is: any one process is killed, and the golden path goes on through the rest."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import psycopg
import pytest
import redis

from tests.live.cluster import POSTGRES, AbsentError, empty_redis
from tests.live.installation import ROOT, free_port
from tests.ops.test_smoke import run

pytestmark = [
    pytest.mark.live,
    pytest.mark.faults,
    pytest.mark.integration,
    pytest.mark.xdist_group("live-distributed"),
]
START_SECONDS, STOP_SECONDS = 180, 90


class Started:
    """The program, what it said, and the processes under it."""

    def __init__(self, folder: Path, redis_url: str) -> None:
        self.port, self.name = free_port(), f"netra_live_{uuid.uuid4().hex[:10]}"
        self.log = folder / "cluster.log"
        kept = {k: v for k, v in os.environ.items() if not k.startswith("NETRA_")}
        kept.pop("DJANGO_SETTINGS_MODULE", None)
        self.environment = kept | {
            "PORT": str(self.port),
            "NETRA_VAR": str(folder),
            "NETRA_DATABASE_URL": urlsplit(POSTGRES)
            ._replace(path=f"/{self.name}")
            .geturl(),
            "NETRA_REDIS_URL": redis_url,
            "NETRA_OIDC_URL": f"http://127.0.0.1:{free_port()}",
            "NETRA_DRAIN_SECONDS": "5",
        }
        with self.log.open("wb") as log:
            self.popen = subprocess.Popen(
                [sys.executable, "deploy/cluster.py", "--proxy", "balancer"],
                cwd=ROOT, env=self.environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip

    def until_served(self) -> None:
        give_up = time.monotonic() + START_SECONDS
        while "cluster serves" not in self.log.read_text():
            assert self.popen.poll() is None, self.log.read_text()
            assert time.monotonic() < give_up, self.log.read_text()
            time.sleep(0.2)

    def token(self) -> str:
        done = subprocess.run(
            [sys.executable, "manage.py", "token", "alice@acme.example"],
            cwd=ROOT, env=self.environment, capture_output=True, text=True, timeout=60, check=True,
        )  # fmt: skip
        return done.stdout.strip()

    def first(self, word: str) -> psutil.Process:
        """One of its children: the first `serve`, `worker` and so on."""
        children = psutil.Process(self.popen.pid).children()
        return next(p for p in children if word in p.cmdline())

    def close(self) -> None:
        for process in psutil.Process(self.popen.pid).children(recursive=True):
            process.kill()
        self.popen.kill()
        self.popen.wait()


@pytest.fixture
def started(tmp_path: Path) -> Iterator[Started]:
    place = urlsplit(POSTGRES)._replace(path="/postgres").geturl()
    try:
        url = empty_redis()
        psycopg.connect(place, connect_timeout=3).close()
    except (AbsentError, psycopg.OperationalError) as error:
        pytest.skip(f"PostgreSQL or Redis is absent: {error}")
    made = Started(tmp_path, url)
    yield made
    if made.popen.poll() is None:
        made.close()
    with psycopg.connect(place, autocommit=True) as server:
        server.execute(f'DROP DATABASE IF EXISTS "{made.name}" WITH (FORCE)')  # type: ignore[arg-type]
    with redis.Redis.from_url(url) as client:
        client.flushdb()


@pytest.mark.mission_critical
@pytest.mark.golden_path
def test_with_a_server_and_a_worker_killed_everything_goes_on_through_the_others(
    started: Started,
):
    started.until_served()
    here, token = f"http://127.0.0.1:{started.port}", started.token()
    assert run(here, token)[0] == 0

    for word in ("serve", "worker"):
        killed = started.first(word)
        killed.kill()
        killed.wait(STOP_SECONDS)  # what it had in hand is lost; all later ones are not
        for _ in range(2):  # each server has its turn
            code, lines = run(here, token)
            assert code == 0, lines

    children = psutil.Process(started.popen.pid).children(recursive=True)
    started.popen.send_signal(signal.SIGINT)
    assert started.popen.wait(STOP_SECONDS) == 0, started.log.read_text()
    assert not [p for p in children if p.is_running()]
    said = started.log.read_text()
    assert said.count("the others go on.") == 2
    assert "Traceback" not in said
