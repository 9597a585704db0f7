"""A Netra of its own for the live suites: a folder, a database file, a server process."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SEED = Path(__file__).with_name("seed.py")
START_SECONDS = 90
STOP_SECONDS = 60
# What "nothing written" means (DECISIONS 20): a refusal leaves no row in any of these.
CONTENT = (
    "chat_thread", "chat_message", "chat_idempotencykey", "executions_execution",
    "executions_event", "executions_stream", "usage_record",
)  # fmt: skip


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


class Installation:
    """One folder with a database, and at most one server process on it."""

    def __init__(self, folder: Path, *, server: str) -> None:
        self.folder, self.server = folder, server
        self.people: dict[str, dict[str, str]] = {}
        self.port, self._oidc_port = free_port(), free_port()
        self._crowd = 0
        self._process: subprocess.Popen[bytes] | None = None

    # -- the process ---------------------------------------------------------------------

    @property
    def environment(self) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith("NETRA_")}
        kept.pop("DJANGO_SETTINGS_MODULE", None)
        return kept | {
            "NETRA_VAR": str(self.folder),
            "NETRA_DEMO": "1",
            "NETRA_OIDC_URL": f"http://127.0.0.1:{self._oidc_port}",
            "NETRA_DRAIN_SECONDS": "10",  # as long as slow-turn takes
            "NETRA_PUBLIC_URL": f"http://127.0.0.1:{self.port}",
            "PYTHONUNBUFFERED": "1",
        }

    def seed(self) -> None:
        done = self._run(str(SEED))
        self.people = json.loads(done.stdout)

    def copy_of(self, other: Installation) -> None:
        """Begin where another installation, whose server never ran, stands."""
        shutil.copytree(other.folder, self.folder, dirs_exist_ok=True)
        self.people = other.people

    def serve_command(self, port: int | None = None) -> list[str]:
        command = [sys.executable, "manage.py", "serve", "--server", self.server]
        return [*command, "--port", str(port or self.port)]

    def start(self) -> None:
        """Start the server and return once it takes connections."""
        self.launch()
        self.until_listening()

    def launch(self) -> None:
        """Start the server, and wait for nothing."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self.serve_command(),
                cwd=ROOT,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def until_listening(self) -> None:
        assert self._process is not None
        give_up = time.monotonic() + START_SECONDS
        while time.monotonic() < give_up and self._process.poll() is None:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.05)
        raise AssertionError(f"the server did not start\n{self.said()}")

    def kill(self) -> None:
        """kill -9, with the demo's identity provider beside it."""
        self._signal(signal.SIGKILL)

    def terminate(self) -> int:
        """SIGTERM; returns the exit code."""
        assert self._process is not None
        self._process.terminate()
        try:
            code = self._process.wait(STOP_SECONDS)
        finally:
            self._signal(signal.SIGKILL)
        return code

    def _signal(self, number: signal.Signals) -> None:
        if self._process is None:
            return
        process, self._process = self._process, None
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            return
        finally:
            process.wait(STOP_SECONDS)

    def _run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=ROOT,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done

    def second_server(self) -> subprocess.CompletedProcess[str]:
        """What becomes of another `serve` on this folder, on a port of its own."""
        return subprocess.run(
            self.serve_command(free_port()),
            cwd=ROOT,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=STOP_SECONDS,
            check=False,
        )

    @property
    def log(self) -> Path:
        return self.folder / "server.log"

    def said(self) -> str:
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    # -- people --------------------------------------------------------------------------

    def someone(self) -> str:
        """A person of acme whom no other test has used, with fresh limits."""
        self._crowd += 1
        return f"p{self._crowd - 1}@acme.example"

    # -- the database file ---------------------------------------------------------------

    def rows(self, query: str, *values: object) -> list[tuple[object, ...]]:
        """Read with a connection of our own, as a backup would."""
        file = f"file:{self.folder / 'netra.sqlite3'}?mode=ro"
        with closing(sqlite3.connect(file, uri=True, timeout=10)) as database:
            return database.execute(query, values).fetchall()

    def change(self, statement: str, *values: object) -> int:
        """Write as a command would: a short second writer."""
        path = self.folder / "netra.sqlite3"
        with closing(sqlite3.connect(path, timeout=10)) as database, database:
            return database.execute(statement, values).rowcount

    def written(self) -> dict[str, int]:
        """How many rows each table of content has."""
        counts = {t: self.rows(f"SELECT count(*) FROM {t}") for t in CONTENT}  # noqa: S608
        return {table: int(str(found[0][0])) for table, found in counts.items()}
