"""`make cluster`: two servers, two workers and beat on this machine, with a proxy in front.

Runs on the PostgreSQL and Redis named in the environment. For trying and for tests; what
serves others is installed with compose.yaml or systemd/.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import FrameType
from urllib.parse import unquote, urlsplit

import psycopg
import redis
from psycopg import sql

ROOT = Path(__file__).resolve().parent.parent
MANAGE = [sys.executable, "manage.py"]
LOOPBACK = "127.0.0.1"
DATABASE = "postgres://postgres@127.0.0.1:5432/netra"
REDIS = "redis://127.0.0.1:6379/0"
SERVERS = WORKERS = 2
START_SECONDS = 90.0
STOP_SECONDS = 75.0  # a drain takes up to 60
LOOK_SECONDS = 0.2


class NotPossibleError(Exception):
    """What is missing, in one sentence for the person at the terminal."""


def environment(port: int) -> dict[str, str]:
    """The caller's, completed with what a cluster needs."""
    return {
        "NETRA_DATABASE_URL": DATABASE,
        "NETRA_REDIS_URL": REDIS,
        "NETRA_DEMO": "1",
        "NETRA_PUBLIC_URL": f"http://{LOOPBACK}:{port}",
        **os.environ,
        "PYTHONUNBUFFERED": "1",
    }


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
    return port


def listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex((LOOPBACK, port)) == 0


# -- what must be there ----------------------------------------------------------------


def require_redis(url: str) -> None:
    try:
        with redis.Redis.from_url(url, socket_connect_timeout=3) as client:
            client.ping()
    except (redis.RedisError, ValueError) as error:
        raise NotPossibleError(
            f"Redis is not reachable: {error}. NETRA_REDIS_URL names it (default {REDIS}). "
            "On Debian and Ubuntu: apt-get install redis-server."
        ) from error


def require_database(url: str) -> None:
    """Reach the database; make it where the server has none of that name and allows it."""
    parts = urlsplit(url)
    name = unquote(parts.path.lstrip("/"))
    try:
        if not _exists(url):
            place = parts._replace(path="/postgres").geturl()
            with psycopg.connect(place, autocommit=True, connect_timeout=5) as server:
                statement = sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name))
                server.execute(statement)
            print(f"Made the database {name!r}.", file=sys.stderr)
    except psycopg.Error as error:
        said = str(error).strip().splitlines()[0]
        raise NotPossibleError(
            f"PostgreSQL is not reachable: {said}. NETRA_DATABASE_URL names the database (default "
            f"{DATABASE}); it is made where the server allows it. On Debian and Ubuntu: "
            "apt-get install postgresql."
        ) from error


def _exists(url: str) -> bool:
    try:
        psycopg.connect(url, connect_timeout=5).close()
    except psycopg.OperationalError as error:
        if "does not exist" in str(error) and "database" in str(error):
            return False
        raise
    return True


# -- the processes ---------------------------------------------------------------------


class Cluster:
    """The processes, each in a session of its own: a Ctrl+C reaches this program alone."""

    def __init__(self, port: int, folder: Path, proxy: str = "") -> None:
        self.port, self.folder, self.proxy = port, folder, proxy
        self.environment = environment(port)
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.asked = 0

    def start(self) -> None:
        """Prepare the database, start everything, and return when the proxy leads to a server."""
        if listens(self.port):
            raise NotPossibleError(
                f"Something already listens on port {self.port}. For another: make cluster PORT=8080."
            )
        require_redis(self.environment["NETRA_REDIS_URL"])
        require_database(self.environment["NETRA_DATABASE_URL"])
        subprocess.run([*MANAGE, "prepare"], cwd=ROOT, env=self.environment, check=True)
        self._start_provider()
        ports = [free_port() for _ in range(SERVERS)]
        for number, port in enumerate(ports, 1):
            self._run(f"server-{number}", *self._serve(port))
        for number in range(1, WORKERS + 1):
            self._run(f"worker-{number}", *MANAGE, "worker")
        self._run("beat", *MANAGE, "beat")
        for port in ports:
            self._until_listens(port)
        self._run("proxy", *self._proxy(ports))
        self._until_listens(self.port)

    def _start_provider(self) -> None:
        """One sign-in provider for all, before each server would start its own."""
        url = self.environment.get("NETRA_OIDC_URL", "http://127.0.0.1:9400")
        port = urlsplit(url).port or 80
        if self.environment["NETRA_DEMO"] == "1" and not listens(port):
            self._run("sign-in", *MANAGE, "demo_provider", "--port", str(port))
            self._until_listens(port)

    @staticmethod
    def _serve(port: int) -> list[str]:
        return [*MANAGE, "serve", "--server", "uvicorn", "--port", str(port)]

    def _run(self, name: str, *command: str) -> None:
        self.processes[name] = subprocess.Popen(
            command,
            cwd=ROOT,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )

    def _until_listens(self, port: int) -> None:
        give_up = time.monotonic() + START_SECONDS
        while not listens(port):
            ended = [n for n, p in self.processes.items() if p.poll() is not None]
            if ended:
                raise NotPossibleError(f"{ended[0]} ended; what it said stands above.")
            if self.asked:
                raise NotPossibleError("it was told to stop.")
            if time.monotonic() > give_up:
                raise NotPossibleError(f"Nothing listens on port {port} yet.")
            time.sleep(LOOK_SECONDS)

    def _proxy(self, servers: list[int]) -> list[str]:
        nginx = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
        if self.proxy == "balancer" or nginx is None:
            words = [str(port) for port in (self.port, *servers)]
            return [sys.executable, str(ROOT / "deploy" / "balancer.py"), *words]
        configuration = self.folder / "nginx.conf"
        configuration.write_text(nginx_configuration(self.folder, self.port, servers))
        return [nginx, "-p", str(self.folder), "-e", "stderr", "-c", str(configuration)]

    # -- until somebody ends it ----------------------------------------------------------

    def watch(self) -> None:
        """Return when asked to stop or when the proxy ended; tell of every other that ended."""
        told: set[str] = set()
        while not self.asked and self.processes["proxy"].poll() is None:
            time.sleep(LOOK_SECONDS)
            for name, process in self.processes.items():
                if process.poll() is not None and name not in told:
                    told.add(name)
                    print(
                        f"{name} ended (code {process.returncode}); the others go on.",
                        file=sys.stderr,
                    )

    def ask(self, _number: int, _frame: FrameType | None) -> None:
        """A signal: stop; each further one is passed on, which hands running work back."""
        self.asked += 1
        if self.asked > 1:
            self._tell(signal.SIGTERM)

    def stop(self) -> None:
        """Servers and workers drain, then the proxy goes; what does not go in time is killed."""
        running = self._alive()
        if running:
            print(f"Stopping {', '.join(running)} …", file=sys.stderr)
        self._tell(signal.SIGTERM)
        give_up = time.monotonic() + STOP_SECONDS
        while self._alive(but="proxy") and time.monotonic() < give_up:
            time.sleep(LOOK_SECONDS)
        for name in self._alive(but="proxy"):
            self.processes[name].kill()
        if "proxy" in self.processes:
            self.processes["proxy"].terminate()  # killed, nginx would leave its workers
        for process in self.processes.values():
            process.wait(STOP_SECONDS)

    def _tell(self, number: signal.Signals) -> None:
        for name in self._alive(but="proxy"):
            self.processes[name].send_signal(number)

    def _alive(self, but: str = "") -> list[str]:
        return [n for n, p in self.processes.items() if n != but and p.poll() is None]


def nginx_configuration(folder: Path, port: int, servers: list[int]) -> str:
    """A configuration on loopback with everything it writes in `folder`, and the rules of an installation."""
    upstream = "\n".join(
        f"    server {LOOPBACK}:{each} max_fails=1 fail_timeout=2s;" for each in servers
    )
    places = "\n".join(
        f"  {kind}_temp_path {folder}/{kind};"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    return f"""daemon off;
pid {folder}/nginx.pid;
worker_processes 1;
events {{ worker_connections 4096; }}
http {{
  access_log off;
{places}
  upstream netra {{
    zone netra 64k;
{upstream}
    keepalive 32;
  }}
  server {{
    listen {LOOPBACK}:{port};
    include {ROOT}/deploy/nginx/locations.conf;
  }}
}}
"""


def main() -> int:
    """Start, tell where to go, and end all with one signal."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--proxy", choices=["balancer"], default="", help="default: nginx, where it is"
    )
    proxy = parser.parse_args().proxy
    port = int(os.environ.get("PORT", "8000"))
    with tempfile.TemporaryDirectory(prefix="netra-cluster-") as folder:
        cluster = Cluster(port, Path(folder), proxy)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, cluster.ask)
        try:
            cluster.start()
            print(
                f"Netra's cluster serves http://{LOOPBACK}:{port} through "
                f"{SERVERS} servers and {WORKERS} workers. Stop it with Ctrl+C.",
                file=sys.stderr,
            )
            cluster.watch()
        except NotPossibleError as error:
            print(f"The cluster cannot start: {error}", file=sys.stderr)
            return 2
        except subprocess.CalledProcessError as error:
            return error.returncode
        finally:
            cluster.stop()
    return 0 if cluster.asked else 1


if __name__ == "__main__":
    sys.exit(main())
