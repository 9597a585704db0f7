"""A connection as the consumer makes it, without a server: what it is sent lies in a list."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Callable

from apps.accounts.access import Principal
from apps.accounts.credentials import Credential
from apps.chat.connections import Connection
from apps.chat.limits import Limits
from apps.chat.outbox import Outbox
from apps.chat.router import router
from apps.core.errors import NetraError

PATIENCE = 15.0
LIMITS = Limits(
    text_max=100,
    messages_per_minute=1000,
    connections=1000,
    idle_seconds=300,
    window=None,
)


class Client:
    """One socket of one person."""

    def __init__(self, who: Principal) -> None:
        self.frames: list[dict] = []
        self.reads = asyncio.Event()
        self.reads.set()
        self.connection = Connection(
            principal=who,
            credential=Credential("token", "t"),
            limits=LIMITS,
            outbox=Outbox(self._take),
            end=self._end,
        )
        self._writer = asyncio.create_task(self.connection.outbox.run())

    async def _take(self, text: str) -> None:
        await self.reads.wait()
        self.frames.append(json.loads(text))

    async def _end(self, code: int, _: NetraError) -> None:
        self.connection.close_code = int(code)

    async def ask(self, kind: str, **data: object) -> str:
        """Send a frame; the id that its answer carries."""
        frame_id = uuid.uuid4().hex
        frame = {"type": kind, "id": frame_id, "data": data}
        await router.route(self.connection, json.dumps(frame, default=str))
        return frame_id

    async def settle(self) -> None:
        """Wait until everything that was queued by now has come."""
        ping = await self.ask("ping")
        await self.until(lambda: self.answer(ping))

    def answer(self, frame_id: str) -> dict | None:
        return next((f for f in self.frames if f.get("id") == frame_id), None)

    def numbers(self) -> list[int]:
        return [frame["seq"] for frame in self.frames if "seq" in frame]

    def of(self, kind: str) -> list[dict]:
        return [frame for frame in self.frames if frame["type"] == kind]

    async def until(self, wanted: Callable[[], object]) -> None:
        async with asyncio.timeout(PATIENCE):
            while not wanted():  # noqa: ASYNC110 - a list rings no bell
                await asyncio.sleep(0.005)

    async def leave(self, code: int | None = 1001) -> None:
        self.connection.close_code = self.connection.close_code or code
        self.connection.close()
        self._writer.cancel()
        await asyncio.gather(self._writer, return_exceptions=True)
