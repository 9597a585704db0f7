"""`manage.py serve`: the server, with the runner and the sweeper in it where there is no Redis."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import subprocess
import sys
import warnings
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from netra import arrival
from netra.lock import AlreadyRunningError, sole_process
from netra.runtime import runtime
from netra.servers import SERVERS


class Command(BaseCommand):
    """Serve pages, the API and the WebSocket."""

    help = "Serve Netra. Without Redis this process also runs the agents."
    requires_system_checks = "__all__"

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--host", default="127.0.0.1")
        parser.add_argument("--port", type=int, default=8000)
        parser.add_argument("--server", choices=sorted(SERVERS), default="daphne")

    def handle(self, *_: Any, **options: Any) -> None:
        host, port = options["host"], options["port"]
        if _listens(host, port):
            raise CommandError(
                f"Something already listens on {host}:{port}; perhaps Netra is running already. "
                "For another port: make run PORT=8001, or serve --port with NETRA_PUBLIC_URL to match."
            )
        self._require_database()
        settings.STATIC_ROOT.mkdir(parents=True, exist_ok=True)
        # Whitenoise's files are small; Django warns of each kind of them under uvicorn.
        warnings.filterwarnings("ignore", "StreamingHttpResponse must consume")
        runtime.run_agents = not settings.NETRA_REDIS_URL
        runtime.sole = settings.SQLITE
        try:
            with contextlib.ExitStack() as held:
                if settings.SQLITE:
                    held.enter_context(sole_process(settings.NETRA_VAR))
                if settings.NETRA_DEMO:
                    held.enter_context(_demo_provider())
                self.stderr.write(
                    f"Netra serves http://{host}:{port} ({options['server']}). Stop it with Ctrl+C."
                )
                SERVERS[options["server"]](host, port)
                if runtime.failure is not None:
                    raise runtime.failure
        except AlreadyRunningError as error:
            raise CommandError(str(error)) from error

    def _require_database(self) -> None:
        """Check the tables now or, where the database is still coming up, as soon as it is there."""
        error = arrival.look()
        if error is None:
            self._require_readiness()
            return
        self.stderr.write(arrival.waiting(error))

        async def wait_first() -> None:
            await arrival.database_came(error)
            await asyncio.to_thread(self._require_readiness)

        runtime.wait_first = wait_first

    def _require_readiness(self) -> None:
        _require_migrations()
        arrival.require_plain_role(self.stderr.write)
        connection.close()


def _require_migrations() -> None:
    executor = MigrationExecutor(connection)
    if executor.migration_plan(executor.loader.graph.leaf_nodes()):
        raise CommandError(
            "The database is not up to date. Run: python manage.py migrate"
        )


@contextlib.contextmanager
def _demo_provider() -> Iterator[None]:
    """Run the demo's OpenID Connect provider beside the server, unless one listens already."""
    parts = urlsplit(settings.NETRA_OIDC_URL)
    port = parts.port or 80
    if _listens(parts.hostname or "127.0.0.1", port):
        yield
        return
    provider = subprocess.Popen(  # noqa: S603 - our own command
        [sys.executable, "manage.py", "demo_provider", "--port", str(port)],
        cwd=settings.ROOT,
    )
    try:
        yield
    finally:
        provider.terminate()
        try:
            provider.wait(5)
        except subprocess.TimeoutExpired:
            provider.kill()


def _listens(host: str, port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex((host, port)) == 0
