"""Server processes: start, wait until they answer, stop. Every wait has an end."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from chats import require_loopback

BENCH = Path(__file__).resolve().parent
ROOT = BENCH.parent
LOGS = ROOT / "bench-logs"
START_SECONDS = 60.0
STOP_SECONDS = 10.0
POLL_SECONDS = 0.02
LOG_LINES = 20


class StartError(Exception):
    """A server that did not come up, with the end of what it printed."""


@dataclass(kw_only=True)
class Server:
    """A process that listens on a port of this machine."""

    name: str
    command: Sequence[str]
    port: int
    env: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    ready_path: str = ""  # a page that must answer 200; none: an open port will do
    process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        return self.process.pid if self.process else 0

    @property
    def log(self) -> Path:
        return LOGS / f"{self.name}.log"

    def start(self) -> None:
        LOGS.mkdir(exist_ok=True)
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                self.command,
                cwd=ROOT,
                env=dict(self.env),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def wait(self, seconds: float = START_SECONDS) -> None:
        """Return when the server answers; say why when it does not."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self.process is not None and self.process.poll() is not None:
                self.give_up(f"ended early with code {self.process.returncode}")
            if self.answers():
                return
            time.sleep(POLL_SECONDS)
        self.give_up(f"did not answer within {seconds:g} s")

    def answers(self) -> bool:
        if self.ready_path:
            return page(f"http://127.0.0.1:{self.port}{self.ready_path}") is not None
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
        except OSError:
            return False
        return True

    def give_up(self, reason: str) -> None:
        lines = self.log.read_text(errors="replace").splitlines()[-LOG_LINES:]
        message = "\n".join([f"{self.name} {reason}; it printed:", *lines])
        raise StartError(message)

    def signal(self, number: signal.Signals) -> None:
        """Signal the server and its children, which share a process group."""
        if self.process is None or self.process.poll() is not None:
            return
        try:
            os.killpg(self.process.pid, number)
        except ProcessLookupError:
            return

    def stop(self) -> None:
        if self.process is None:
            return
        self.signal(signal.SIGTERM)
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.signal(signal.SIGKILL)
            self.process.wait(STOP_SECONDS)
        self.process = None


def page(url: str) -> tuple[str, str] | None:
    """Return the address and text a GET ends at; None when it is not a 200."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(require_loopback(url), timeout=10) as response:
            return response.url, response.read().decode(errors="replace")
    except (OSError, urllib.error.URLError):
        return None


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def asgi_server(name: str, app: str) -> Server:
    """One of the apps in this folder, under uvicorn as Netra runs it."""
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", app, "--app-dir", str(BENCH)]
    command += ["--host", "127.0.0.1", "--port", str(port), "--log-level", "warning"]
    return Server(name=name, command=[*command, "--no-access-log"], port=port)


@contextmanager
def running(servers: Sequence[Server]) -> Iterator[None]:
    """Start all, wait for all, and stop all, whatever happens in between."""
    try:
        for server in servers:
            server.start()
        for server in servers:
            server.wait()
        yield
    finally:
        for server in servers:
            server.signal(signal.SIGTERM)
        for server in servers:
            server.stop()


def exit_on_sigterm() -> None:
    """Turn SIGTERM into an ordinary exit, so that servers are stopped."""

    def leave(*_: object) -> None:
        sys.exit(128 + signal.SIGTERM)

    signal.signal(signal.SIGTERM, leave)
