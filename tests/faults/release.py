"""A field that runs the release before, out of the history, until its processes are replaced by today's."""

from __future__ import annotations

import io
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from tests.faults.conftest import Field
from tests.live import cluster
from tests.live.cluster import AbsentError, Process, Server
from tests.live.installation import ROOT

Made = TypeVar("Made")
BEFORE = (
    "6a69e78991eafb56b3486ff925a95e6ce2056e24"  # one machine, and no steps or breakers
)


def unpacked(folder: Path) -> Path:
    """The files of the release before. Raises AbsentError where the clone does not reach back."""
    done = subprocess.run(
        ["git", "archive", BEFORE],
        cwd=ROOT, capture_output=True, timeout=60, check=False,
    )  # fmt: skip
    if done.returncode:
        raise AbsentError(f"The clone has no commit {BEFORE[:8]}.")
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as files:
        files.extractall(folder, filter="data")
    return folder


class Upgraded(Field):
    """A field whose processes come from `tree`: the release before first, then today's."""

    tree: Path = ROOT
    # The release before tells the database no scope: only a role that bypasses policies suits it.
    own_role = False

    def begin(self) -> None:
        self._there(self.create)

    def servers(self, count: int, **settings: str) -> list[Server]:
        return self._there(lambda: super(Upgraded, self).servers(count, **settings))

    def worker(
        self, concurrency: int = 50, *, fault: str = "", **settings: str
    ) -> Process:
        return self._there(
            lambda: super(Upgraded, self).worker(concurrency, fault=fault, **settings)
        )

    def migrate(self) -> None:
        """What an operator does first, while the release before goes on."""
        command = [sys.executable, "manage.py", "migrate", "--verbosity", "0"]
        subprocess.run(
            command, cwd=self.tree, env=self.environment, timeout=120, check=True
        )

    def _there(self, start: Callable[[], Made]) -> Made:
        """Start something with the code of `tree`."""
        today = cluster.ROOT, cluster.SEED
        cluster.ROOT = self.tree
        cluster.SEED = self.tree / SEED_PATH
        try:
            return start()
        finally:
            cluster.ROOT, cluster.SEED = today


SEED_PATH = cluster.SEED.relative_to(ROOT)
