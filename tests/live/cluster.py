"""Several processes of Netra on one PostgreSQL database, with or without Redis between them."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import uuid
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import redis

from apps.core.roles import Grants
from netra.management.commands.db_roles import APPEND_ONLY
from tests.live.installation import ROOT, SEED, START_SECONDS, STOP_SECONDS, free_port

POSTGRES = os.environ.get(
    "NETRA_TEST_DATABASE_URL", "postgres://postgres@127.0.0.1:5432/postgres"
)
REDIS = os.environ.get("NETRA_TEST_REDIS_URL", "redis://127.0.0.1:6379")


class AbsentError(Exception):
    """A service that these tests need is not there."""


def _postgres(statement: str, at: str = POSTGRES) -> None:
    address = urlsplit(at)._replace(scheme="postgresql", path="/postgres")
    try:
        with psycopg.connect(
            address.geturl(), autocommit=True, connect_timeout=3
        ) as database:
            database.execute(statement)  # type: ignore[arg-type]  # made here, not given
    except psycopg.OperationalError as error:
        raise AbsentError(f"PostgreSQL or Redis is absent: {error}") from error


def empty_redis() -> str:
    """The address of a numbered database in Redis that nobody uses."""
    base = urlsplit(REDIS)._replace(path="").geturl()
    try:
        for number in range(15, 0, -1):
            url = f"{base}/{number}"
            with redis.Redis.from_url(url, socket_connect_timeout=3) as client:
                if client.dbsize() == 0:
                    return url
    except redis.ConnectionError as error:
        raise AbsentError(f"PostgreSQL or Redis is absent: {error}") from error
    raise AbsentError("Every numbered database of Redis is in use.")


class Process:
    """A server or a worker; `settings` are variables of its environment alone."""

    def __init__(self, cluster: Cluster, *command: str, **settings: str) -> None:
        self.log = cluster.folder / f"{command[0]}-{uuid.uuid4().hex[:6]}.log"
        with self.log.open("ab") as log:
            self.popen = subprocess.Popen(
                [sys.executable, "manage.py", *command],
                cwd=ROOT,
                env=cluster.environment | settings,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def said(self) -> str:
        return self.log.read_text(errors="replace")

    def until_said(self, words: str) -> None:
        give_up = time.monotonic() + START_SECONDS
        while words not in self.said():
            assert self.popen.poll() is None, self.said()
            assert time.monotonic() < give_up, self.said()
            time.sleep(0.05)

    def kill(self) -> None:
        """kill -9, with everything that it started."""
        try:
            os.killpg(self.popen.pid, signal.SIGKILL)
        except ProcessLookupError:
            return
        finally:
            self.popen.wait(STOP_SECONDS)

    def terminate(self) -> int:
        """SIGTERM; returns the exit code."""
        self.popen.terminate()
        return self.popen.wait(STOP_SECONDS)

    def freeze(self) -> None:
        """SIGSTOP: it is there, and does nothing."""
        os.killpg(self.popen.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        os.killpg(self.popen.pid, signal.SIGCONT)

    @property
    def alive(self) -> bool:
        return self.popen.poll() is None

    def until_dead(self, patience: float = STOP_SECONDS) -> int:
        """The exit code; negative is the signal that it died of."""
        return self.popen.wait(patience)


class Server(Process):
    """A server of the cluster: what a client needs to reach it."""

    def __init__(self, cluster: Cluster, **settings: str) -> None:
        self.port, self.people = free_port(), cluster.people
        command = ("serve", "--server", "uvicorn", "--port", str(self.port))
        super().__init__(cluster, *command, **settings)

    def ready(self) -> Server:
        give_up = time.monotonic() + START_SECONDS
        while self.popen.poll() is None and time.monotonic() < give_up:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return self
            time.sleep(0.05)
        raise AssertionError(f"the server did not start\n{self.said()}")


class Cluster:
    """A database of its own, and the processes on it."""

    own_role = True

    def __init__(
        self,
        folder: Path,
        redis_url: str = "",
        *,
        postgres: str = POSTGRES,
        **settings: str,
    ) -> None:
        self.folder, self.redis_url, self.postgres = folder, redis_url, postgres
        self.settings = settings
        self.name = f"netra_live_{uuid.uuid4().hex[:10]}"
        self.people: dict[str, dict[str, str]] = {}
        self.processes: list[Process] = []
        self._crowd, self._oidc_port = 0, free_port()
        self.serving = ""

    @property
    def environment(self) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith("NETRA_")}
        kept.pop("DJANGO_SETTINGS_MODULE", None)
        return kept | {
            "NETRA_VAR": str(self.folder),
            "NETRA_DEMO": "1",  # for the scripted agents
            "NETRA_OIDC_URL": f"http://127.0.0.1:{self._oidc_port}",
            "NETRA_DRAIN_SECONDS": "10",  # as long as slow-turn takes
            "NETRA_DATABASE_URL": self.serving or self.database,
            "NETRA_REDIS_URL": self.redis_url,
            "PYTHONUNBUFFERED": "1",
            **self.settings,
        }

    @property
    def database(self) -> str:
        return urlsplit(self.postgres)._replace(path=f"/{self.name}").geturl()

    def rows(self, query: str, *values: object) -> list[tuple[object, ...]]:
        """Read with a connection of our own; `?` stands for a value."""
        with psycopg.connect(self.database, connect_timeout=5) as database:
            return database.execute(query.replace("?", "%s"), values).fetchall()  # type: ignore[arg-type]

    def create(self) -> None:
        """Make the database with people in it. Raises AbsentError without PostgreSQL."""
        _postgres(f'CREATE DATABASE "{self.name}"', self.postgres)
        seed = subprocess.run(
            [sys.executable, str(SEED)],
            cwd=ROOT,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert seed.returncode == 0, seed.stderr
        self.people = json.loads(seed.stdout)
        if self.own_role:
            self._step_down()

    def _step_down(self) -> None:
        """From now on processes log in as a role of their own, which row-level security holds."""
        with psycopg.connect(self.database, autocommit=True) as owner:
            grants = Grants(
                database=self.name,
                owner=owner.info.user,
                app=self.name,
                append_only=APPEND_ONLY,
            )
            for statement in grants.statements(password=self.name):
                owner.execute(statement)  # type: ignore[call-overload]  # made by us
        parts = urlsplit(self.database)
        place = parts.netloc.rpartition("@")[2]
        self.serving = parts._replace(
            netloc=f"{self.name}:{self.name}@{place}"
        ).geturl()

    def servers(self, count: int, **settings: str) -> list[Server]:
        started = [Server(self, **settings) for _ in range(count)]
        self.processes += started
        return [server.ready() for server in started]

    def worker(self, concurrency: int = 50, **settings: str) -> Process:
        command = ("worker", "--concurrency", str(concurrency))
        process = Process(self, *command, **settings)
        self.processes.append(process)
        process.until_said("Netra runs up to")
        return process

    def someone(self) -> str:
        """A person of acme whom no other test has used."""
        self._crowd += 1
        return f"p{self._crowd - 1}@acme.example"

    def close(self) -> None:
        for process in self.processes:
            process.kill()
        _postgres(f'DROP DATABASE IF EXISTS "{self.name}" WITH (FORCE)', self.postgres)
        _postgres(f'DROP ROLE IF EXISTS "{self.name}"', self.postgres)

    def said(self) -> str:
        return "\n".join(f"{p.log.name}:\n{p.said()}" for p in self.processes)
