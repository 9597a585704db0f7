"""What HTTP clients wait for: the end of an execution, and a thread's events as they come.

Runs on the event loop. The log is the truth here too; hints only save time.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from uuid import UUID

from django.http import StreamingHttpResponse

from apps.accounts.access import Principal
from apps.accounts.credentials import Credential
from apps.chat import queries
from apps.chat.actions import Asked
from apps.chat.connections import Connection, connections
from apps.chat.ledger import Door
from apps.chat.limits import Limits
from apps.chat.models import Message
from apps.chat.outbox import Outbox
from apps.chat.protocol import CloseCode, error_frame
from apps.core.database import read
from apps.core.errors import ConflictError, NetraError, RateLimitedError
from apps.core.hub import hub
from apps.core.tenancy import Scope
from apps.executions import queries as execution_queries
from apps.executions.events import StreamAdvanced
from apps.executions.journal import stream_topic
from apps.executions.queries import Position
from apps.executions.states import TERMINAL, ExecutionState

MEDIA_TYPE = "text/event-stream"
LOOK_SECONDS = 0.5  # for whatever no hint tells
HEARTBEAT_SECONDS = 15.0
RETRY_MILLISECONDS = 2000


class ResyncError(ConflictError):
    """The log cannot be continued from there."""

    code = "resync"
    fix = "Read the thread again, and follow it from its 'last_seq'."


def check_kept(after: int, position: Position) -> None:
    """Raise ResyncError where the log no longer holds what comes after `after`."""
    if after + 1 < position.first_kept:
        raise ResyncError(
            f"The log reaches from {position.first_kept} to {position.last}.",
            values={"after": after, "last_seq": position.last},
        )


class TooManyStreamsError(RateLimitedError):
    """You have too many open connections."""

    code = "too_many_connections"
    fix = "Close another tab or connection."


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How an execution ended that somebody waited for."""

    state: ExecutionState
    message: Message | None
    failure: dict[str, object] | None


async def end_of(scope: Scope, asked: Asked, patience: float) -> Ended | None:
    """Wait for the end of a question's execution; None when that takes longer than `patience` seconds."""
    told = asyncio.Event()

    def hear(message: object) -> None:
        if isinstance(message, StreamAdvanced) and _tells_end(message, asked):
            told.set()

    topic = stream_topic(scope.tenant_id, asked.thread_id)
    until = time.monotonic() + patience
    hub.watch(topic, hear)
    try:
        while True:
            ended = await read(scope, partial(_ended, asked))
            left = until - time.monotonic()
            if ended is not None or left <= 0:
                return ended
            await _told_or_time(told, min(left, LOOK_SECONDS))
    finally:
        hub.unwatch(topic, hear)


async def _told_or_time(told: asyncio.Event, seconds: float) -> bool:
    try:
        async with asyncio.timeout(seconds):
            return await told.wait()
    except TimeoutError:
        return False


def _tells_end(message: StreamAdvanced, asked: Asked) -> bool:
    return any(
        entry.execution_id == asked.execution_id and entry.payload.get("final")
        for entry in message.entries
    )


def _ended(asked: Asked) -> Ended | None:
    standing = execution_queries.standing_of(asked.execution_id)
    if standing is None or standing.state not in TERMINAL:
        return None
    entry = execution_queries.end_of(asked.execution_id)
    failed = standing.state is not ExecutionState.COMPLETED
    return Ended(
        state=standing.state,
        message=queries.reply_to(asked.execution_id),
        failure=_failure(standing.state, entry.payload if entry else {})
        if failed
        else None,
    )


def _failure(state: ExecutionState, payload: dict[str, object]) -> dict[str, object]:
    return {
        "code": payload.get("code") or state.value,
        "message": payload.get("message") or payload.get("reason") or "",
        "fix": payload.get("fix") or "Ask again when you like.",
        "receipt_id": payload.get("receipt_id"),
        "retryable": bool(payload.get("retryable", True)),
    }


class EventStream(StreamingHttpResponse):
    """A response that gives back what it holds as soon as its client goes."""

    def __init__(self, chunks: AsyncGenerator[bytes, None]) -> None:
        super().__init__(chunks, content_type=MEDIA_TYPE)
        self._chunks = chunks
        self["Cache-Control"] = "no-store"
        self["X-Accel-Buffering"] = "no"

    async def __aiter__(self) -> AsyncIterator[bytes]:
        # Django's own wrappers leave the closing of the innermost to the garbage collector.
        async with aclosing(self._chunks) as chunks:
            async for chunk in chunks:
                yield chunk


class Follower:
    """One HTTP client that follows a thread: a connection like a socket, with a socket's limits."""

    def __init__(
        self, principal: Principal, credential: Credential, thread_id: UUID
    ) -> None:
        # One frame at a time: a client that does not read blocks the outbox, which gives it up.
        self._frames: asyncio.Queue[str] = asyncio.Queue(1)
        self._thread_id = thread_id
        self._ended = False
        self._connection = Connection(
            principal=principal,
            credential=credential,
            limits=Limits.of(principal.plan, window=None),
            outbox=Outbox(self._frames.put),
            door=Door.SSE,
            end=self._end,
        )

    def response(self, after: int, position: Position) -> EventStream:
        """The stream from `after` on; raises ResyncError where the log cannot be continued there."""
        if connections.refusing is not None:
            raise connections.refusing
        if connections.full(self._connection.principal, self._connection.limits):
            raise TooManyStreamsError(retry_after=5)
        check_kept(after, position)
        if after > position.last:
            raise ResyncError(
                f"The log reaches to {position.last}.",
                values={"after": after, "last_seq": position.last},
            )
        return EventStream(self._chunks(after, position))

    async def _chunks(
        self, after: int, position: Position
    ) -> AsyncGenerator[bytes, None]:
        connection = self._connection
        connections.add(connection)
        self._writer = asyncio.create_task(
            connection.outbox.run(), name="netra-event-stream"
        )
        try:
            connection.subscribe(self._thread_id, after).replay(None, position)
            yield f"retry: {RETRY_MILLISECONDS}\n\n".encode()
            while not (self._ended or self._writer.done()) or not self._frames.empty():
                connection.heard_at = time.monotonic()
                piece = await self._next()
                yield piece.chunk
                connection.progress[self._thread_id].sent(piece.seq)
                if piece.last:
                    break
        finally:
            connections.remove(connection)
            self._writer.cancel()
            await asyncio.gather(self._writer, return_exceptions=True)

    async def _next(self) -> Piece:
        try:
            async with asyncio.timeout(HEARTBEAT_SECONDS):
                return _event(await self._frames.get())
        except TimeoutError:
            return Piece(chunk=b": still here\n\n")

    def _told_code(self, code: int) -> None:
        if self._connection.close_code is None:
            self._connection.close_code = int(code)

    async def _end(self, code: CloseCode | int, error: NetraError) -> None:
        """Say why, and end: the client comes back with the last id that it saw."""
        if self._ended:
            return
        self._ended = True
        self._told_code(code)
        self._connection.outbox.close()
        self._writer.cancel()
        if self._frames.full():
            self._frames.get_nowait()
        self._frames.put_nowait(error_frame(error))


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """What the stream yields at once; `seq` is 0 for what is not in the log."""

    chunk: bytes
    seq: int = 0
    last: bool = False


def _event(frame: str) -> Piece:
    """One frame of the protocol as an event of the stream; only what is in the log has an id.

    After `resync` nothing follows: whoever comes back with its last id is refused, and told why.
    """
    envelope = json.loads(frame)
    kind, seq = envelope["type"], envelope.get("seq", 0)
    number = f"id: {seq}\n" if seq else ""
    chunk = f"{number}event: {kind}\ndata: {frame}\n\n".encode()
    return Piece(chunk=chunk, seq=seq, last=kind == "resync")
