"""A PostgreSQL and a Redis of our own, on private ports and in temporary folders, to be ill-treated."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import psutil
import psycopg
import redis

from tests.live.cluster import AbsentError
from tests.live.installation import free_port

START_SECONDS = 60
# It must survive kill -9 of itself, but not of the machine: no fsync.
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "fsync": "off",
    "max_connections": "200",
    "shared_buffers": "64MB",
    "log_min_messages": "warning",
}


class Store:
    """A server process that can be stopped, frozen and started again on the same data."""

    port: int
    name: str

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="netra-faults-"))
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def start(self) -> Self:
        """Start, and return once it answers."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self.command(),
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                **self.who(),
            )
        give_up = time.monotonic() + START_SECONDS
        while not self.answers():
            assert self._process.poll() is None, self.said()
            assert time.monotonic() < give_up, self.said()
            time.sleep(0.05)
        return self

    def command(self) -> list[str]:
        raise NotImplementedError

    def who(self) -> dict[str, Any]:
        """As whom it runs."""
        return {}

    def answers(self) -> bool:
        raise NotImplementedError

    @property
    def log(self) -> Path:
        return self.folder / "server.log"

    def said(self) -> str:
        return self.log.read_text(errors="replace")

    # -- faults --------------------------------------------------------------------------

    def end(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Ask it to go with a signal, and wait until it went."""
        assert self._process is not None
        self._process.send_signal(number)
        self._process.wait(START_SECONDS)
        self._process = None

    def kill(self) -> None:
        """kill -9, with all its children."""
        if self._process is not None:
            for process in self._family():
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
            self._process.wait(START_SECONDS)
            self._process = None

    def freeze(self) -> None:
        """SIGSTOP to it and its children: connections stay, and nothing answers."""
        for process in self._family():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.suspend()

    def thaw(self) -> None:
        for process in self._family():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.resume()

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        self.freeze()
        try:
            yield
        finally:
            self.thaw()

    def _family(self) -> list[psutil.Process]:
        assert self._process is not None
        parent = psutil.Process(self._process.pid)
        return [parent, *parent.children(recursive=True)]


class Postgres(Store):
    """PostgreSQL with a cluster of its own. Raises AbsentError where it is not installed."""

    def __init__(self) -> None:
        programs = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
        found = str(programs[-1]) if programs else shutil.which("postgres")
        if found is None:
            raise AbsentError("PostgreSQL or Redis is absent: no program `postgres`.")
        super().__init__()
        self._bin = Path(found).parent
        self._root = os.geteuid() == 0  # which PostgreSQL refuses to run as
        if self._root:
            shutil.chown(self.folder, "postgres", "postgres")
        subprocess.run(
            [
                str(self._bin / "initdb"), "-D", str(self.folder / "data"), "-U", "netra",
                "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync",
            ],
            cwd=self.folder, check=True, capture_output=True, timeout=START_SECONDS, **self.who(),
        )  # fmt: skip

    @property
    def url(self) -> str:
        return f"postgres://netra@127.0.0.1:{self.port}/postgres"

    def command(self) -> list[str]:
        options = {
            "port": str(self.port),
            "unix_socket_directories": str(self.folder),
            **SETTINGS,
        }
        program = [str(self._bin / "postgres"), "-D", str(self.folder / "data")]
        return program + [f"--{name}={value}" for name, value in options.items()]

    def who(self) -> dict[str, Any]:
        if not self._root:
            return {}
        return {"user": "postgres", "group": "postgres", "extra_groups": []}

    def answers(self) -> bool:
        try:
            with psycopg.connect(self.url, connect_timeout=2):
                return True
        except psycopg.OperationalError:
            return False

    def restart(self, *, immediate: bool = False) -> None:
        """Stop, cutting all sessions (with `immediate` as in a crash), and start again."""
        self.end(signal.SIGQUIT if immediate else signal.SIGINT)
        self.start()


class Redis(Store):
    """Redis without persistence. Raises AbsentError where it is not installed."""

    def __init__(self) -> None:
        program = shutil.which("redis-server")
        if program is None:
            raise AbsentError("PostgreSQL or Redis is absent: no program redis-server.")
        super().__init__()
        self._program = program

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def command(self) -> list[str]:
        return [
            self._program, "--port", str(self.port), "--bind", "127.0.0.1", "--save", "",
            "--appendonly", "no", "--dir", str(self.folder),
        ]  # fmt: skip

    def answers(self) -> bool:
        try:
            with redis.Redis(port=self.port, socket_connect_timeout=2) as client:
                return bool(client.ping())
        except redis.RedisError:
            return False
