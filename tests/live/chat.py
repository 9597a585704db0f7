"""A client of `/ws/chat/` for tests: sends frames, keeps everything it got, never waits for ever."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Callable
from typing import Any, Self

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from tests.live.installation import Installation

PATIENCE = 20.0
TERMINAL = {"agent_completed", "agent_error", "agent_cancelled"}
Frame = dict[str, Any]


class Chat:
    """One socket of one person."""

    def __init__(self, socket: ClientConnection, person: str | None = None) -> None:
        self.socket, self.person = socket, person
        self.frames: list[Frame] = []
        self._seen = 0  # frames that a wait has passed

    @classmethod
    async def open(
        cls,
        at: Installation,
        person: str | None = None,
        *,
        headers: dict[str, str] | None = None,
        subprotocols: list[str] | None = None,
        query: str = "",
    ) -> Self:
        """Connect; as `person` with a bearer token, else exactly with `headers`."""
        if headers is None and person is not None:
            headers = {"Authorization": f"Bearer {at.people[person]['token']}"}
        socket = await connect(
            f"ws://127.0.0.1:{at.port}/ws/chat/{query}",
            additional_headers=headers,
            subprotocols=subprotocols,  # type: ignore[arg-type]  # plain strings will do
            proxy=None,
            open_timeout=PATIENCE,
            max_size=None,
            max_queue=None,
            compression=None,
        )
        return cls(socket, person)

    async def close(self) -> None:
        await self.socket.close()

    # -- sending -------------------------------------------------------------------------

    async def send_raw(self, raw: str | bytes) -> None:
        await self.socket.send(raw)

    async def send(self, kind: str, *, id: object = None, **data: object) -> None:  # noqa: A002
        frame: Frame = {"type": kind, "data": data}
        if id is not None:
            frame["id"] = id
        await self.send_raw(json.dumps(frame))

    async def ask(
        self, agent: str = "golden-turn", text: str = "hello", **data: object
    ) -> Frame:
        """Send a message and return what `message_accepted` says."""
        frame_id = str(data.pop("id", uuid.uuid4()))
        await self.send("user_message", id=frame_id, text=text, agent=agent, **data)
        return (await self.answer(frame_id, "message_accepted"))["data"]

    async def subscribe(self, thread_id: str, after: int = 0, **data: object) -> Frame:
        """Subscribe and return the `replayed` (or `resync`) frame."""
        frame_id = str(uuid.uuid4())
        await self.send(
            "subscribe", id=frame_id, thread_id=thread_id, after=after, **data
        )
        return await self.answer(frame_id, "replayed", "resync")

    # -- hearing -------------------------------------------------------------------------

    async def receive(self, patience: float = PATIENCE) -> Frame:
        async with asyncio.timeout(patience):
            frame: Frame = json.loads(await self.socket.recv())
        self.frames.append(frame)
        return frame

    async def until(
        self, wanted: Callable[[Frame], bool], patience: float = PATIENCE
    ) -> Frame:
        """The first frame, of those not yet passed by a wait, that is `wanted`."""
        async with asyncio.timeout(patience):
            while True:
                while self._seen < len(self.frames):
                    self._seen += 1
                    if wanted(self.frames[self._seen - 1]):
                        return self.frames[self._seen - 1]
                await self.receive(patience)

    async def until_told(
        self, thread_id: str, kind: str, patience: float = PATIENCE
    ) -> None:
        """Wait for such an event of the thread, whether or not a wait has passed it."""
        async with asyncio.timeout(patience):
            while kind not in self.kinds(thread_id):
                await self.receive(patience)

    async def answer(self, frame_id: str, *kinds: str) -> Frame:
        """The answer to our own frame, which must be one of `kinds`."""
        frame = await self.until(lambda f: f.get("id") == frame_id)
        assert frame["type"] in kinds, frame
        return frame

    async def refusal(self) -> dict[str, Any]:
        """The next error frame."""
        return await self.until(lambda f: f["type"] == "error")

    async def end_of(self, execution_id: str, patience: float = PATIENCE) -> Frame:
        """The terminal event of an execution."""
        for frame in self.frames:
            if is_end_of(frame, execution_id):
                return frame
        return await self.until(lambda f: is_end_of(f, execution_id), patience)

    async def settled(self) -> None:
        """Return when everything that was on its way to us has arrived."""
        frame_id = str(uuid.uuid4())
        await self.send("ping", id=frame_id)
        await self.answer(frame_id, "pong")

    async def close_code(self, patience: float = PATIENCE) -> int:
        """Hear on until the server closes; returns its code."""
        try:
            while True:
                await self.receive(patience)
        except ConnectionClosed:
            assert self.socket.close_code is not None
            return self.socket.close_code

    # -- what came -----------------------------------------------------------------------

    def events(self, thread_id: str | None = None) -> list[Frame]:
        return [
            f for f in self.frames
            if "event_id" in f and thread_id in {None, f["thread_id"]}
        ]  # fmt: skip

    def kinds(self, thread_id: str | None = None) -> list[str]:
        return [frame["type"] for frame in self.events(thread_id)]

    def text_of(self, execution_id: str) -> str:
        """The answer as a client joins it: deltas by offset, snapshots, newest attempt only."""
        text, attempt = "", 1
        for frame in self.frames:
            data = frame["data"]
            if frame.get("execution_id") != execution_id or "attempt" not in data:
                continue
            if data["attempt"] < attempt:
                continue
            if data["attempt"] > attempt:
                text, attempt = "", data["attempt"]
            if frame["type"] == "message_snapshot":
                text = data["text"]
            elif frame["type"] == "message_delta" and data["offset"] <= len(text):
                text += data["text"][len(text) - data["offset"] :]
        return text


def is_end_of(frame: Frame, execution_id: str) -> bool:
    return (
        frame["type"] in TERMINAL
        and frame["execution_id"] == execution_id
        and frame["data"]["final"]
    )


def check_log(events: list[Frame], first: int = 1) -> None:
    """What every stretch of a thread's log keeps: no gap, no double, one thread."""
    assert [e["seq"] for e in events] == list(range(first, first + len(events)))
    assert len({e["event_id"] for e in events}) == len(events)
    assert len({e["thread_id"] for e in events}) <= 1
    assert all("id" not in e and e["at"].endswith("Z") for e in events)
