"""The null server answers a turn from memory: no agent, no database.

    python -m uvicorn nullserver:app --app-dir bench --port 8100

It shows what the transport alone costs, and how fast the load client can go.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from chats import GOLDEN_TOKENS

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

BEFORE = ("agent_started", "agent_thinking", "tool_executing", "tool_completed")
WORDS = [f"tok{number} " for number in range(GOLDEN_TOKENS)]
FRAMES = [
    *(json.dumps({"type": kind, "data": {}}) for kind in BEFORE),
    *(json.dumps({"type": "message_delta", "data": {"text": w}}) for w in WORDS),
    json.dumps({"type": "agent_completed", "data": {"text": "".join(WORDS)}}),
]
EVENTS = [
    b'data: {"type":"RUN_STARTED"}\n\n',
    *[b'data: {"type":"TEXT_MESSAGE_CONTENT","delta":"tok "}\n\n'] * GOLDEN_TOKENS,
    b'data: {"type":"RUN_FINISHED"}\n\n',
]


async def app(scope: Message, receive: Receive, send: Send) -> None:
    doors = {"websocket": serve_socket, "http": serve_stream, "lifespan": live}
    await doors[scope["type"]](receive, send)


async def serve_socket(receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "websocket.accept"})
    while (await receive())["type"] == "websocket.receive":
        for frame in FRAMES:
            await send({"type": "websocket.send", "text": frame})


async def serve_stream(receive: Receive, send: Send) -> None:
    while (await receive()).get("more_body"):
        pass
    headers = [(b"content-type", b"text/event-stream")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    for event in EVENTS:
        await send({"type": "http.response.body", "body": event, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def live(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": message["type"] + ".complete"})
        if message["type"] == "lifespan.shutdown":
            return
