"""A fresh Netra to measure: its own folder, database, demo and port.

Nothing of the checkout's own `var/` or environment is read or written.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
from chats import LOOPBACK, Target
from psycopg import conninfo, sql
from servers import LOG_LINES, ROOT, Server, StartError, free_port

SERVERS = ("uvicorn", "daphne")
USERS = ("alice@acme.example",)
ORGANISATION = "acme"
SQLITE = "sqlite"
COMMAND_SECONDS = 300.0


@dataclass(frozen=True, kw_only=True)
class Installation:
    """One Netra on a folder and database that nobody else uses."""

    kind: str  # the server that carries it: uvicorn or daphne
    var: Path
    database_url: str

    @property
    def name(self) -> str:
        return f"netra-{self.kind}"

    @property
    def env(self) -> dict[str, str]:
        """The caller's environment, less whatever would configure Netra."""
        inherited = {
            key: value
            for key, value in os.environ.items()
            if not key.startswith(("NETRA_", "DJANGO_"))
        }
        return inherited | {
            "NETRA_VAR": str(self.var),
            "NETRA_DATABASE_URL": self.database_url,
            "NETRA_DEMO": "1",
            "NETRA_LIMITS": "off",
            "PYTHONUNBUFFERED": "1",
        }

    def run(self, *arguments: str) -> str:
        """Run this Python with these arguments in the project; return its output."""
        try:
            done = subprocess.run(
                [sys.executable, *arguments],
                cwd=ROOT,
                env=self.env,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=COMMAND_SECONDS,
                check=True,
            )
        except subprocess.TimeoutExpired as error:
            message = f"{arguments!r} took longer than {COMMAND_SECONDS:g} s"
            raise StartError(message) from error
        except subprocess.CalledProcessError as error:
            lines = (error.stdout + error.stderr).splitlines()[-LOG_LINES:]
            head = f"{arguments!r} failed with code {error.returncode}; it printed:"
            raise StartError("\n".join([head, *lines])) from error
        return done.stdout

    def manage(self, *arguments: str) -> str:
        return self.run("manage.py", *arguments)

    def prepare(self) -> None:
        self.manage("migrate", "--verbosity", "0")
        self.manage("demo")

    def token(self, email: str) -> str:
        lines = self.manage("token", email, "--organisation", ORGANISATION).split()
        if len(lines) != 1:
            message = "`manage.py token` must print the token alone on stdout"
            raise StartError(message)
        return lines[0]

    def server(self, ready_path: str = "/readyz") -> Server:
        port = free_port()
        command = [sys.executable, "manage.py", "serve", "--host", "127.0.0.1"]
        command += ["--port", str(port), "--server", self.kind]
        return Server(
            name=self.name,
            command=command,
            port=port,
            env=self.env,
            ready_path=ready_path,
        )

    def measured(self, users: Sequence[str]) -> tuple[Server, Target]:
        """Return its server and how to talk to it; the chats share out the users."""
        server = self.server()
        target = Target(
            name=self.name,
            adapter="netra",
            url=f"ws://127.0.0.1:{server.port}/ws/chat/",
            credentials=tuple(self.token(email) for email in users),
        )
        return server, target


@contextmanager
def installations(kinds: Sequence[str], database: str) -> Iterator[list[Installation]]:
    """Prepare one installation per kind of server; remove every trace at the end.

    They share nothing: in embedded mode each process runs whatever its database
    holds, and two on one database would do each other's work.
    """
    with ExitStack() as stack:
        fresh = []
        for kind in kinds:
            folder = tempfile.TemporaryDirectory(
                prefix="netra-bench-", ignore_cleanup_errors=True
            )
            var = Path(stack.enter_context(folder))
            url = stack.enter_context(scratch_database(database, var))
            installation = Installation(kind=kind, var=var, database_url=url)
            installation.prepare()
            fresh.append(installation)
        yield fresh


@contextmanager
def scratch_database(choice: str, var: Path) -> Iterator[str]:
    """`sqlite`, or the URL of a PostgreSQL whose role may create databases."""
    if choice == SQLITE:
        yield f"sqlite:///{var / 'netra.sqlite3'}"
        return
    require_local_database(choice)
    name = f"netra_bench_{uuid.uuid4().hex[:12]}"
    administer(choice, sql.SQL("CREATE DATABASE {}"), name)
    try:
        yield named(choice, name)
    finally:
        administer(choice, sql.SQL("DROP DATABASE {} WITH (FORCE)"), name)


def administer(url: str, statement: sql.SQL, name: str) -> None:
    try:
        with psycopg.connect(url, autocommit=True, connect_timeout=10) as connection:
            connection.execute(statement.format(sql.Identifier(name)))
    except psycopg.Error as error:
        message = f"PostgreSQL refused a database for the benchmark: {error}"
        raise StartError(message) from error


def require_local_database(url: str) -> None:
    if not url.startswith(("postgres://", "postgresql://")):
        message = f"--database takes 'sqlite' or a PostgreSQL URL, not {url!r}"
        raise SystemExit(message)
    parts = conninfo.conninfo_to_dict(url)
    for key in ("host", "hostaddr"):
        host = str(parts.get(key) or "localhost")
        if host not in LOOPBACK and not host.startswith("/"):
            message = f"refusing {host!r}: the database must be on this machine"
            raise SystemExit(message)


def named(url: str, database: str) -> str:
    """Point the URL of a server at another of its databases."""
    address, mark, query = url.partition("?")
    scheme, _, rest = address.partition("://")
    return f"{scheme}://{rest.split('/', 1)[0]}/{database}{mark}{query}"
