"""The demo as a newcomer has it, in a folder of its own: seeded, served, with its identity provider."""

from __future__ import annotations

import json
import socket
import time
from pathlib import Path

from tests.live.installation import ROOT, START_SECONDS, Installation

CHAT_EVENTS = "SELECT seq, type FROM executions_event WHERE stream_id = ? ORDER BY seq"


class Demo(Installation):
    """An installation that holds what `make run` shows to a newcomer."""

    def __init__(self, folder: Path, *, server: str) -> None:
        super().__init__(folder, server=server)
        self.url = f"http://127.0.0.1:{self.port}"

    def seed(self) -> None:
        for command in ("migrate", "demo"):
            self._run(str(ROOT / "manage.py"), command, "--verbosity", "0")

    def copy_of(self, other: Installation) -> None:
        super().copy_of(other)
        issuer = self.environment["NETRA_OIDC_URL"]
        assert self.change("UPDATE accounts_identityprovider SET issuer = ?", issuer)

    def start(self) -> None:
        """Return once the server and, a moment later, the identity provider take connections."""
        super().start()
        give_up = time.monotonic() + START_SECONDS
        while time.monotonic() < give_up:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self._oidc_port)) == 0:
                    return
            time.sleep(0.05)
        raise AssertionError(f"the identity provider did not start\n{self.said()}")

    def put_question(self) -> str:
        """Let an agent ask bob something; returns the thread in which it waits."""
        return self._run(str(Path(__file__).with_name("question.py"))).stdout

    def password_of(self, person: str) -> str:
        known = json.loads((self.folder / "demo-passwords.json").read_text())
        return str(known[person])

    def kinds_in_log(self, thread_id: str) -> list[str]:
        """What the thread's log holds; its numbers must be without gap and double."""
        rows = self.rows(CHAT_EVENTS, thread_id.replace("-", ""))
        assert [seq for seq, _ in rows] == list(range(1, len(rows) + 1))
        return [str(kind) for _, kind in rows]
