"""A client that never reads: bounded memory, 4408, and nobody else notices."""

from __future__ import annotations

import asyncio
import json
import socket
import time
import uuid

import psutil
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from tests.live.chat import Chat
from tests.live.conftest import OpenChat
from tests.live.installation import Installation

pytestmark = [pytest.mark.live, pytest.mark.integration, pytest.mark.mission_critical]
EVENTS, BYTES = 250, 100_000  # far beyond what kernels and windows hold
SLOW_SECONDS = 30.0
GROWTH = 24 * 1024 * 1024


def fill(at: Installation, thread_id: str) -> None:
    """Put a long log into a thread, as many long questions and answers would."""
    stream = uuid.UUID(thread_id).hex
    first = at.rows("SELECT last FROM executions_stream WHERE id = ?", stream)[0][0]
    at.change(
        "INSERT INTO executions_event (id, organisation_id, stream_id, seq, event_uid, attempt,"
        " type, final, payload, at)"
        " WITH RECURSIVE n(i) AS (SELECT ? + 1 UNION ALL SELECT i + 1 FROM n WHERE i < ? + ?)"
        " SELECT lower(hex(randomblob(16))), s.organisation_id, s.id, i,"
        " lower(hex(randomblob(16))), 0, 'message_created', 0,"
        " '{\"text\": \"' || hex(zeroblob(?)) || '\"}', '2026-11-21 12:00:00'"
        " FROM n, executions_stream s WHERE s.id = ?",
        first, first, EVENTS, BYTES // 2, stream,
    )  # fmt: skip
    at.change(
        "UPDATE executions_stream SET last = last + ? WHERE id = ?", EVENTS, stream
    )


async def lazy(at: Installation, person: str) -> ClientConnection:
    """A socket whose client takes next to nothing until it is asked to."""
    raw = socket.socket()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    await asyncio.to_thread(raw.connect, ("127.0.0.1", at.port))
    return await connect(
        f"ws://127.0.0.1:{at.port}/ws/chat/",
        sock=raw,
        additional_headers={"Authorization": f"Bearer {at.people[person]['token']}"},
        max_size=None,
        max_queue=1,
        compression=None,
        ping_interval=None,
    )


def memory(at: Installation) -> int:
    assert at._process is not None
    whole = psutil.Process(at._process.pid)
    return max(p.memory_info().rss for p in (whole, *whole.children(recursive=True)))


async def rest_of(slow: ClientConnection) -> tuple[list[int], str, int]:
    """Read to the end: the numbers of events, the last error, the close code."""
    numbers: list[int] = []
    reason = ""
    async with asyncio.timeout(SLOW_SECONDS):
        try:
            while True:
                frame = json.loads(await slow.recv())
                numbers += [frame["seq"]] if "seq" in frame else []
                reason = frame["data"].get("code", reason)
        except ConnectionClosed as closed:
            return numbers, reason, closed.rcvd.code if closed.rcvd else 0


async def test_who_never_reads_costs_little_and_is_sent_away(
    netra_server: Installation, open_chat: OpenChat
):
    person = netra_server.someone()
    chat = await open_chat(person)
    asked = await chat.ask("golden-turn")
    await chat.end_of(asked["execution_id"])
    await chat.close()
    await asyncio.to_thread(fill, netra_server, asked["thread_id"])
    lively: Chat = await open_chat(netra_server.someone())
    slow = await lazy(netra_server, person)
    before = await asyncio.to_thread(memory, netra_server)

    wanted = {"thread_id": asked["thread_id"], "after": 0}
    await slow.send(json.dumps({"type": "subscribe", "data": wanted}))
    began, took, most = time.monotonic(), [], 0
    while time.monotonic() - began < 13:
        start = time.monotonic()
        other = await lively.ask("golden-turn")
        await lively.end_of(other["execution_id"])
        took.append(time.monotonic() - start)
        most = max(most, await asyncio.to_thread(memory, netra_server))
        await asyncio.sleep(0.5)

    in_time = time.monotonic() - began < 16  # it is held for ten seconds more
    numbers, reason, code = await rest_of(slow)
    kept = "SELECT sent_to, acknowledged_to FROM chat_delivery WHERE close_code = 4408"
    ((sent, shown),) = await asyncio.to_thread(netra_server.rows, kept)
    assert shown == 0
    if netra_server.server == "uvicorn" and in_time:
        assert (code, reason) == (4408, "slow_consumer")
        assert sent == len(numbers)
    else:  # Daphne cuts the line a second after it wrote the close, read or not
        assert code in {0, 4408}
        assert len(numbers) <= sent < EVENTS
    assert numbers == list(range(1, len(numbers) + 1))
    assert len(numbers) < EVENTS
    assert most - before < GROWTH
    assert max(took) < 5
