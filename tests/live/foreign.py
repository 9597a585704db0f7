"""Two OpenID Connect providers that nobody here wrote, each in a process of its own."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.live.installation import free_port

SOURCE = Path(__file__).with_name("foreign_provider")
SECRET = "a secret of the tests: not secret"
START_SECONDS, INSTALL_SECONDS, STOP_SECONDS = 60, 180, 20


@contextmanager
def python_provider(people: list[str]) -> Iterator[str]:
    """The package oidc-provider-mock, as its own command line starts it."""
    port = free_port()
    command = [
        sys.executable,
        "-W",
        "ignore",
        "-m",
        "oidc_provider_mock",
        "-p",
        str(port),
    ]
    for email in people:
        told = {"sub": email, "email": email, "email_verified": True, "name": "Py"}
        command += ["--user-claims", json.dumps(told)]
    with _running(command, port, cwd=None) as issuer:
        yield issuer


@contextmanager
def node_provider(folder: Path, redirect_uri: str) -> Iterator[str]:
    """The npm package oidc-provider, installed into `folder` from its lock file."""
    install(folder)
    port = free_port()
    command = ["node", "provider.mjs", str(port), redirect_uri]
    with _running(command, port, cwd=folder) as issuer:
        yield issuer


def install(folder: Path) -> None:
    """npm ci; skips where there is no node, which in CI is a failure."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("node and npm are not installed; the npm provider is not asked")
    if (folder / "node_modules").exists():
        return
    shutil.copytree(SOURCE, folder, dirs_exist_ok=True)
    done = subprocess.run(
        ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=INSTALL_SECONDS,
        check=False,
    )
    if done.returncode != 0:
        shutil.rmtree(folder / "node_modules", ignore_errors=True)
        pytest.skip(f"node packages cannot be installed: {done.stderr[-500:]}")


@contextmanager
def _running(command: list[str], port: int, *, cwd: Path | None) -> Iterator[str]:
    process = subprocess.Popen(
        command,
        cwd=cwd,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        _await(port, process)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.communicate(timeout=STOP_SECONDS)


def _await(port: int, process: subprocess.Popen[str]) -> None:
    give_up = time.monotonic() + START_SECONDS
    while time.monotonic() < give_up and process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    pytest.fail("the provider did not start")
