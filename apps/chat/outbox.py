"""What one socket still has to be sent: bounded, in order, with back-pressure.

Knows frames as text only; what they say is the protocol's business.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Protocol

from apps.chat.limits import QUEUE_BYTES, QUEUE_FRAMES, SEND_SECONDS

ANSWERS_MAX = 16 * QUEUE_FRAMES
Send = Callable[[str], Awaitable[None]]


class Account(Protocol):
    """Keeps how far its thread went out to the socket."""

    def sending(self, seq: int) -> None: ...

    def sent(self, seq: int) -> None: ...


class SlowConsumerError(Exception):
    """The client did not take what it was sent within the time allowed."""


class OutboxClosedError(Exception):
    """The socket is gone; nothing more can be sent."""


class Outbox:
    """The queue in front of one socket's writer."""

    def __init__(self, send: Send, *, window: int | None = None) -> None:
        self._send = send
        self._window = window
        self._frames: deque[tuple[str, Account | None, int]] = deque()
        self._characters = 0
        self._unacknowledged = 0
        self._filled = asyncio.Event()
        self._room = asyncio.Event()
        self._opened = asyncio.Event()
        self._room.set()
        self.closed = False

    def put(self, frame: str, account: Account | None = None, seq: int = 0) -> bool:
        """Queue a frame; False when the queue is full and the frame was not taken.

        An event of a log names the `account` that is told its number as it goes out.
        """
        if self.closed:
            raise OutboxClosedError
        if len(self._frames) >= QUEUE_FRAMES or self._characters >= QUEUE_BYTES:
            self._room.clear()
            return False
        self.put_anyway(frame, account, seq)
        return True

    def put_anyway(
        self, frame: str, account: Account | None = None, seq: int = 0
    ) -> None:
        """Queue an answer: one for each request, so bounded by what the client asks."""
        self._frames.append((frame, account, seq))
        self._characters += len(frame)
        self._filled.set()

    @property
    def overfull(self) -> bool:
        """So many answers wait that the client can only be asking without reading."""
        return len(self._frames) > ANSWERS_MAX

    async def room(self) -> None:
        """Wait until the queue takes frames again."""
        await self._room.wait()

    def acknowledge(self) -> None:
        """The client took what it was sent: the window opens."""
        self._unacknowledged = 0
        self._opened.set()

    async def run(self) -> None:
        """Send for ever; raises SlowConsumerError when a send or the window blocks too long."""
        while True:
            await self._filled.wait()
            try:
                async with asyncio.timeout(SEND_SECONDS):
                    await self._send_next()
            except TimeoutError:
                raise SlowConsumerError from None

    def close(self) -> None:
        """The socket ended: whoever waits for room goes on, and finds it closed."""
        self.closed = True
        self._room.set()

    async def send_rest(self) -> None:
        """Send what is still queued, whatever the window says: the last that this socket gets."""
        while self._frames:
            await self._send_first()

    async def _send_next(self) -> None:
        """Send what is queued now, each batch under one time limit."""
        for _ in range(len(self._frames)):
            if self._window is not None and self._unacknowledged >= self._window:
                self._opened.clear()
                await self._opened.wait()
            await self._send_first()
        if not self._frames:
            self._filled.clear()
        if not self._room.is_set() and len(self._frames) < QUEUE_FRAMES // 2:
            self._room.set()

    async def _send_first(self) -> None:
        frame, account, seq = self._frames.popleft()
        self._characters -= len(frame)
        if self._window is not None:
            self._unacknowledged += (
                len(frame) if frame.isascii() else len(frame.encode())
            )
        if account is None:
            await self._send(frame)
            return
        account.sending(seq)  # its acknowledgement may be quicker than the send's end
        await self._send(frame)
        account.sent(seq)
