"""The adapter for our own protocol, `netra.v1` over `/ws/chat/`.

It is a strict reader: numbers must be gapless, deltas must join to the final
answer, and each event must belong to the chat's own thread.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Any

from chats import TOKEN, SocketChat, Turn, TurnError

# What the server tells all connections of a user; no part of this chat's turn.
STRANGERS = frozenset({"thread_changed", "typing"})
FAILURES = frozenset({"error", "agent_error", "agent_cancelled", "resync"})
GREETING = "connection_established"


@dataclass(slots=True)
class Answer:
    """The answer so far, joined from deltas as a browser would join them."""

    text: str = ""
    attempt: int = 1

    def join(self, data: dict[str, Any]) -> bool:
        """Append a delta; False for one of an attempt that was given up."""
        if data["attempt"] < self.attempt:
            return False
        if data["attempt"] > self.attempt:
            self.text, self.attempt = "", data["attempt"]
        offset, text = data["offset"], data["text"]
        known = self.text[offset:]  # a snapshot may have brought some of it already
        differs = known[: len(text)] != text[: len(known)]
        if offset > len(self.text) or differs:
            message = f"delta at offset {offset!r} after {len(self.text)!r}"
            raise TurnError(message)
        self.text = self.text[:offset] + (text if len(text) > len(known) else known)
        return True

    def replace(self, data: dict[str, Any]) -> None:
        self.text, self.attempt = data["text"], data["attempt"]


class NetraChat(SocketChat):
    """One thread on one connection, authenticated by a bearer token."""

    async def open(self) -> None:
        self.thread: str | None = None
        self.last = 0
        self.announced = 0
        self.message_id = ""
        self.answer = Answer()
        tokens = self.target.credentials
        token = tokens[self.number % len(tokens)]
        await self.connect({"Authorization": f"Bearer {token}"})
        frame = await self.receive()
        if frame["type"] != GREETING:
            raise TurnError(described(frame))

    async def turn(self) -> Turn:
        self.message_id = str(uuid.uuid4())
        self.answer = Answer()
        self.announced = 0
        turn = Turn()
        await self.send(
            {
                "type": "user_message",
                "id": self.message_id,
                "thread_id": self.thread,
                "data": {"text": self.target.text, "agent": self.target.agent},
            }
        )
        while turn.final is None:
            self.take(turn, await self.receive())
        await self.acknowledge()
        return turn

    async def acknowledge(self) -> None:
        seen = {"thread_id": self.thread, "seq": self.last}
        await self.send({"type": "ack", **seen, "data": seen})

    def take(self, turn: Turn, frame: dict[str, Any]) -> None:
        """Check one frame of the server and note what it means for the turn."""
        kind = frame["type"]
        if kind in STRANGERS:
            turn.strangers += 1
        elif kind in FAILURES:
            raise TurnError(described(frame))
        elif "event_id" in frame:
            self.number_event(frame)
            self.take_event(turn, kind, frame["data"])
        else:
            self.take_answer(turn, kind, frame)

    def take_event(self, turn: Turn, kind: str, data: dict[str, Any]) -> None:
        if kind == "agent_completed" and data["final"]:
            if data["text"] != self.answer.text:
                message = f"the final answer differs from {self.answer.text!r}"
                raise TurnError(message)
            turn.mark("event", "final")
        else:
            turn.mark("event")

    def take_answer(self, turn: Turn, kind: str, frame: dict[str, Any]) -> None:
        if kind == "message_delta":
            current = self.answer.join(frame["data"])
            turn.tokens = self.answer.text.count(TOKEN)
            turn.mark(*(["token"] if current else []))
            return
        if kind == "message_snapshot":
            self.answer.replace(frame["data"])
        elif kind == "message_accepted":
            self.accept(frame)
        turn.mark()

    def accept(self, frame: dict[str, Any]) -> None:
        data = frame["data"]
        if frame.get("id") != self.message_id or data["duplicate"]:
            message = f"accepted another message: {frame!r}"
            raise TurnError(message)
        if self.thread not in {None, data["thread_id"]}:
            message = f"accepted in another thread: {data['thread_id']!r}"
            raise TurnError(message)
        self.thread, self.announced = data["thread_id"], data["seq"]

    def number_event(self, frame: dict[str, Any]) -> None:
        """Hold the log to its promise: own thread, gapless, announced before sent."""
        kind, seq = frame["type"], frame["seq"]
        if frame["thread_id"] != self.thread or not self.announced:
            message = f"{kind} came before its message was accepted"
            raise TurnError(message)
        if seq != self.last + 1:
            message = f"{kind} has seq {seq!r} after {self.last!r}"
            raise TurnError(message)
        if kind == "message_created" and seq != self.announced:
            message = f"message_created has seq {seq!r}, announced {self.announced!r}"
            raise TurnError(message)
        self.last = seq


def described(frame: dict[str, Any]) -> str:
    data = frame["data"]
    return f"{frame['type']} {data.get('code', '')}: {data.get('message', data)}"[:200]
