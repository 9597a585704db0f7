"""Chats: one conversation with one server, spoken in that server's protocol.

A chat sends a message and returns a timed `Turn`. Whatever a server does against
its protocol becomes a `TurnError`, so that a fast wrong answer never counts.
"""

from __future__ import annotations

import json
import time
import uuid
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import aiohttp

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
GOLDEN_TOKENS = 20
TOKEN = "tok"  # noqa: S105 - how every token of the scripted answer begins


class TurnError(Exception):
    """A turn that failed, or that broke a promise of the protocol."""


def require_loopback(url: str) -> str:
    host = urlsplit(url).hostname
    if host not in LOOPBACK:
        message = f"refusing {host!r}: the benchmark only talks to this machine"
        raise SystemExit(message)
    return url


@dataclass(frozen=True, kw_only=True)
class Target:
    """One server to be measured, and what a correct turn of it looks like."""

    name: str
    adapter: str
    url: str
    pid: int = 0
    agent: str = "golden-turn"
    credentials: tuple[str, ...] = ()
    text: str = "hello"
    tokens: int = GOLDEN_TOKENS
    turns_per_chat: int = 10
    turn_seconds: float = 30.0
    level_seconds: float = 180.0
    max_errors: int = 10


@dataclass(slots=True)
class Turn:
    """Seconds from sending to each milestone, and what was received on the way."""

    started: float = field(default_factory=time.perf_counter)
    first: float | None = None
    event: float | None = None
    token: float | None = None
    final: float | None = None
    frames: int = 0
    tokens: int = 0
    strangers: int = 0

    def mark(self, *milestones: str, frames: int = 1) -> None:
        """Note the milestones that the frames just received have reached."""
        elapsed = time.perf_counter() - self.started
        self.frames += frames
        for milestone in ("first", *milestones):
            if getattr(self, milestone) is None:
                setattr(self, milestone, elapsed)


class Chat:
    """One conversation; `number` tells the chats of one level apart."""

    def __init__(
        self, http: aiohttp.ClientSession, target: Target, number: int = 0
    ) -> None:
        self.http, self.target, self.number = http, target, number

    async def open(self) -> None:
        """Connect, and read whatever the server says before the first turn."""

    async def turn(self) -> Turn:
        raise NotImplementedError

    async def close(self) -> None:
        """Leave politely."""


class SocketChat(Chat):
    """A chat over one WebSocket that carries JSON frames."""

    socket: aiohttp.ClientWebSocketResponse | None = None

    async def connect(self, headers: dict[str, str]) -> None:
        self.socket = await self.http.ws_connect(
            self.target.url,
            headers=headers,
            compress=0,
            max_msg_size=0,
            timeout=aiohttp.ClientWSTimeout(ws_close=5.0),
        )

    async def send(self, frame: dict[str, Any]) -> None:
        if self.socket is None:
            message = "the socket is not open"
            raise TurnError(message)
        await self.socket.send_str(json.dumps(frame))

    async def receive(self) -> dict[str, Any]:
        if self.socket is None:
            message = "the socket is not open"
            raise TurnError(message)
        message_in = await self.socket.receive()
        if message_in.type is not aiohttp.WSMsgType.TEXT:
            kind, code = message_in.type.name, self.socket.close_code
            message = f"socket {kind}, close code {code}"
            raise TurnError(message)
        frame: dict[str, Any] = json.loads(message_in.data)
        return frame

    async def close(self) -> None:
        if self.socket is not None:
            await self.socket.close()


class NullChat(SocketChat):
    """The null server's WebSocket: what the transport alone costs."""

    async def open(self) -> None:
        await self.connect({})

    async def turn(self) -> Turn:
        turn = Turn()
        await self.send({"type": "user_message", "data": {"text": self.target.text}})
        while turn.final is None:
            frame = await self.receive()
            if frame["type"] == "message_delta":
                turn.tokens += frame["data"]["text"].count(TOKEN)
                turn.mark("token")
            elif frame["type"] == "agent_completed":
                turn.mark("final")
            else:
                turn.mark()
        return turn


class AgUiChat(Chat):
    """AG-UI over server-sent events: the floor, which keeps nothing.

    The client sends the whole conversation every time.
    """

    token_marker = b'"TEXT_MESSAGE_CONTENT"'
    final_marker = b'"RUN_FINISHED"'

    async def open(self) -> None:
        self.thread = uuid.uuid4().hex
        self.history: list[dict[str, str]] = []

    def say(self, role: str, text: str) -> None:
        entry = {"id": uuid.uuid4().hex, "role": role, "content": text}
        self.history.append(entry)

    async def turn(self) -> Turn:
        self.say("user", self.target.text)
        body = {
            "threadId": self.thread,
            "runId": uuid.uuid4().hex,
            "messages": self.history,
            "state": {},
            "tools": [],
            "context": [],
            "forwardedProps": {},
        }
        turn = Turn()
        async with self.http.post(self.target.url, json=body) as response:
            response.raise_for_status()
            await self.read(turn, response)
        if turn.final is None:
            message = "the stream ended without RUN_FINISHED"
            raise TurnError(message)
        self.say("assistant", "tok " * GOLDEN_TOKENS)
        return turn

    async def read(self, turn: Turn, response: aiohttp.ClientResponse) -> None:
        """Count markers on whole lines only: a chunk may end anywhere."""
        rest = b""
        async for chunk in response.content.iter_any():
            rest += chunk
            cut = rest.rfind(b"\n")
            lines, rest = rest[: cut + 1], rest[cut + 1 :]
            frames = lines.count(b"data:")
            if not frames:
                continue
            tokens = lines.count(self.token_marker)
            turn.tokens += tokens
            milestones = ["token"] if tokens else []
            if self.final_marker in lines:
                milestones.append("final")
            turn.mark("event", *milestones, frames=frames)
