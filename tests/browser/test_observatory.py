"""Mozilla's Observatory looks at a running Netra behind a proxy that ends TLS, and finds nothing to mend.

It asks over plain HTTP here, so what it says of redirects to https and of HSTS is about this test.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import socketserver
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.live.installation import Installation

pytestmark = pytest.mark.security

PACKAGE = "@mdn/mdn-http-observatory@1.4.8"
FOR_WANT_OF_TLS = {"redirection", "strict-transport-security"}


class BehindTls(Installation):
    """An installation that people reach over https."""

    @property
    def environment(self) -> dict[str, str]:
        return super().environment | {
            "NETRA_PUBLIC_URL": f"https://127.0.0.1:{self.port}",
            "NETRA_PROXIES": "1",
        }


@pytest.fixture(scope="module")
def observatory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program, kept for the next run: it comes from npm, and nothing else of Netra does."""
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("node and npm are absent")
    kept = (
        Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
        / "netra-observatory-1.4.8"
    )
    program = kept / "node_modules" / ".bin" / "mdn-http-observatory-scan"
    if not program.exists():
        kept.mkdir(parents=True, exist_ok=True)
        (kept / "package.json").write_text("{}")
        command = [
            npm,
            "install",
            "--ignore-scripts",
            "--no-audit",
            "--no-fund",
            PACKAGE,
        ]
        done = subprocess.run(
            command, cwd=kept, capture_output=True, text=True, timeout=180, check=False
        )
        if done.returncode != 0:
            pytest.skip(f"npm does not give {PACKAGE}: {done.stderr[-300:]}")
    # Its own installation would fetch this list; here no host is on it.
    (kept / "node_modules/@mdn/mdn-http-observatory/conf/hsts-preload.json").write_text(
        "{}"
    )
    return program


@pytest.fixture(scope="module")
def front(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of a proxy that says what one that ends TLS would say."""
    installation = BehindTls(tmp_path_factory.mktemp("tls"), server="uvicorn")
    installation.seed()
    installation.start()
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), PassesOn) as server:
        server.behind = installation.port  # type: ignore[attr-defined]
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()
    installation.kill()


class PassesOn(socketserver.StreamRequestHandler):
    """One request and its answer, with the words of a proxy that ends TLS."""

    timeout = 30

    def handle(self) -> None:
        first, head = self.rfile.readline(), []
        while (line := self.rfile.readline()).strip():
            if not line.lower().startswith(b"connection:"):
                head.append(line)
        if not first:
            return  # a probe that came and went
        head += [
            b"X-Forwarded-Proto: https\r\n",
            b"X-Forwarded-For: 127.0.0.1\r\n",
            b"Connection: close\r\n",
        ]
        address = ("127.0.0.1", self.server.behind)  # type: ignore[attr-defined]
        with socket.create_connection(address, timeout=30) as ahead:
            ahead.sendall(b"".join([first, *head, b"\r\n"]))
            while data := ahead.recv(65536):
                self.wfile.write(data)


def test_it_finds_nothing_but_what_plain_http_cannot_show(
    observatory: Path, front: int
) -> None:
    done = subprocess.run(
        [str(observatory), f"127.0.0.1:{front}"],
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )

    assert done.stdout.startswith("{"), done.stdout + done.stderr
    found = json.loads(done.stdout)
    failed = {
        name: test["result"]
        for name, test in found["tests"].items()
        if not test["pass"]
    }
    assert set(failed) == FOR_WANT_OF_TLS, failed
    assert len(found["tests"]) >= 10
    # Headers that only an installation behind TLS sends.
    told = found["scan"]["responseHeaders"]
    assert "__Host-csrftoken=" in str(told["set-cookie"])
    assert "max-age=31536000; includeSubDomains" in told["strict-transport-security"]
