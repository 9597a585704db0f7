"""A client that does not give up: it comes back, goes on where it was, and holds Netra to its word.

It does what the chat page does: full jitter, `subscribe` after the last number it saw, and the same
frame again, under the same id, where no answer came. What it got must be the log, once and in order.
"""

from __future__ import annotations

import asyncio
import json
import random
import uuid
from collections import defaultdict
from collections.abc import Callable
from itertools import count
from typing import Any, Protocol
from uuid import UUID

from websockets.exceptions import ConnectionClosed, WebSocketException

from tests.live.chat import PATIENCE, TERMINAL, Chat, Frame

FIRST_PAUSE, LONGEST_PAUSE = 0.1, 2.0
Rows = Callable[..., list[tuple[object, ...]]]


class Place(Protocol):
    """A server that takes connections."""

    port: int
    people: dict[str, dict[str, str]]


class FaultClient(Chat):
    """One person, connected to one of several servers at a time, whatever becomes of them."""

    def __init__(self, person: str, *places: Place) -> None:
        super().__init__(None, person)  # type: ignore[arg-type]  # connected by `come_back`
        self.places = list(places)
        self.connections = 0
        self.gaps = False  # hints may be lost here: the pieces need not reach the end
        self.refused: list[Frame] = []  # errors that said: try again
        self.heard_on: list[int] = []  # for each frame, on which connection it came
        self.last: defaultdict[str, int] = defaultdict(int)
        self._unanswered: dict[str, Frame] = {}
        self._pauses = random.Random(person)  # noqa: S311 - jitter, no secret

    async def close(self) -> None:
        if self.socket is not None:
            await self.socket.close()

    # -- coming back ---------------------------------------------------------------------

    async def come_back(self) -> None:
        """Connect to the next place that takes us, and ask again for what is missing."""
        for n in count():
            limit = min(LONGEST_PAUSE, FIRST_PAUSE * 2**n)
            if self.connections or n:
                await asyncio.sleep(self._pauses.uniform(0, limit))
            place: Any = self.places[(self.connections + n) % len(self.places)]
            try:
                self.socket = (await Chat.open(place, self.person)).socket
                break
            except (OSError, WebSocketException, TimeoutError):
                continue
        self.connections += 1
        for thread_id, seq in self.last.items():
            await self._follow(thread_id, seq)
        for frame in list(self._unanswered.values()):
            await self._pass(frame)

    async def _follow(self, thread_id: str, after: int) -> None:
        data = {"thread_id": thread_id, "after": after}
        await self._pass({"type": "subscribe", "id": str(uuid.uuid4()), "data": data})

    async def _pass(self, frame: Frame) -> None:
        try:
            await self.socket.send(json.dumps(frame))
        except ConnectionClosed:
            return  # seen by the next `receive`, which comes back

    # -- sending and hearing -------------------------------------------------------------

    async def send(self, kind: str, *, id: object = None, **data: object) -> None:  # noqa: A002
        """Send a frame; one with an id is sent until it is answered."""
        if self.socket is None:
            await self.come_back()
        frame: Frame = {"type": kind, "data": data}
        if id is not None:
            frame["id"] = str(id)
            self._unanswered[str(id)] = frame
        await self._pass(frame)

    async def receive(self, patience: float = PATIENCE) -> Frame:
        async with asyncio.timeout(patience):
            if self.socket is None:
                await self.come_back()
            while True:
                try:
                    frame: Frame = json.loads(await self.socket.recv())
                except ConnectionClosed:
                    await self.come_back()
                    continue
                if await self._again(frame):
                    continue
                self.frames.append(frame)
                self.heard_on.append(self.connections)
                await self._take(frame)
                return frame

    async def _again(self, frame: Frame) -> bool:
        """Whether this refuses a frame of ours for the moment only: then it is sent once more."""
        ours = self._unanswered.get(str(frame.get("id")))
        wait = frame["data"].get("retry_after") if frame["type"] == "error" else None
        if ours is None or wait is None:
            return False
        self.refused.append(frame)
        await asyncio.sleep(min(wait, LONGEST_PAUSE))
        await self._pass(ours)
        return True

    async def _take(self, frame: Frame) -> None:
        if "id" in frame:
            self._unanswered.pop(str(frame["id"]), None)
        if frame["type"] == "message_accepted":
            thread_id = frame["data"]["thread_id"]
            if frame["data"]["duplicate"]:
                await self._follow(thread_id, self.last[thread_id])
            self.last[thread_id] += 0  # known from now on
        if "event_id" in frame:
            thread_id, seq = frame["thread_id"], frame["seq"]
            assert seq == self.last[thread_id] + 1, (
                f"I3: event {seq} came after {self.last[thread_id]} of thread {thread_id}"
            )
            self.last[thread_id] = seq
            if frame["type"] in TERMINAL:
                ack = {"thread_id": thread_id, "seq": seq}
                await self._pass({"type": "ack", "data": ack})

    async def stop(self, execution_id: str) -> Frame:
        """Cancel, and return the answer."""
        frame_id = str(uuid.uuid4())
        await self.send("cancel", id=frame_id, execution_id=execution_id)
        return await self.answer(frame_id, "cancel_accepted")

    async def until_text(self, execution_id: str, length: int = 1) -> None:
        """Hear on until so much of an answer is there."""
        while len(self.text_of(execution_id)) < length:
            await self.receive()

    # -- what it holds Netra to ----------------------------------------------------------

    async def catch_up(self, rows: Rows) -> None:
        """Hear on until nothing that the log has is missing; nobody has to ask for it."""
        for thread_id in list(self.last):
            log = await asyncio.to_thread(log_of, rows, thread_id)
            while self.last[thread_id] < len(log):
                await self.receive()

    def check(self, rows: Rows) -> None:
        """I3: what came is the log of each thread, whole and in order; the text is the answer."""
        for thread_id in self.last:
            heard = [
                (e["seq"], e["event_id"], e["type"]) for e in self.events(thread_id)
            ]
            log = log_of(rows, thread_id)
            assert heard == log, f"I3: heard {heard} of thread {thread_id}: {log}"
        for end in self.ends():
            if end["type"] == "agent_completed":
                said, whole = self.text_of(end["execution_id"]), end["data"]["text"]
                right = (
                    said == whole
                    if self._was_there(end) and not self.gaps
                    else whole.startswith(said)
                )
                assert right, f"I3: the pieces make {said!r}, the answer is {whole!r}"

    def _was_there(self, end: Frame) -> bool:
        """Whether the connection that heard the end also heard how the last attempt began to speak."""
        spoke = [
            (frame["data"]["attempt"], frame["data"]["offset"], connection)
            for frame, connection in zip(self.frames, self.heard_on, strict=True)
            if frame["type"] == "message_delta"
            and frame["execution_id"] == end["execution_id"]
        ]
        last = max((attempt for attempt, _, _ in spoke), default=0)
        return (last, 0, self.heard_on[self.frames.index(end)]) in spoke

    def ends(self) -> list[Frame]:
        return [event for event in self.events() if event["type"] in TERMINAL]

    def attempts(self, execution_id: str) -> list[int]:
        """The numbers of the later attempts that were announced."""
        return [
            event["data"]["attempt"]
            for event in self.events()
            if event["type"] == "attempt_started"
            and event["execution_id"] == execution_id
        ]


def log_of(rows: Rows, thread_id: str) -> list[tuple[int, str, str]]:
    """A thread's log as the database has it; SQLite stores ids without dashes."""
    query = (
        "SELECT seq, event_uid, type, stream_id FROM executions_event"
        " WHERE replace(CAST(stream_id AS varchar(36)), '-', '') = ? ORDER BY seq"
    )
    found: list[Any] = rows(query, UUID(thread_id).hex)
    return [(seq, str(UUID(str(uid))), kind) for seq, uid, kind, _ in found]


def execution_of(rows: Rows, execution_id: str) -> dict[str, Any]:
    """What the database says of an execution."""
    names = (
        "organisation_id",
        "state",
        "attempt",
        "fence",
        "version",
        "error_code",
    )
    query = (
        f"SELECT {', '.join(names)} FROM executions_execution"  # noqa: S608
        " WHERE replace(CAST(id AS varchar(36)), '-', '') = ?"
    )
    (row,) = rows(query, UUID(execution_id).hex)
    return dict(zip(names, row, strict=True))
