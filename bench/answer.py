"""Times the demo's answer: one question on a fresh connection, again and again.

    python bench/answer.py 8000 TOKEN [TURNS]

Prints first numbered event and whole answer as median and longest. Loopback only.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import time
import uuid

import aiohttp

QUESTION = "Where did our AI spend jump last month, and what should we do?"
BAD = {"error", "agent_error", "agent_cancelled"}
TURN_SECONDS = 30


async def ask(
    http: aiohttp.ClientSession, port: int, token: str
) -> tuple[float, float]:
    """Seconds from sending the question to its first numbered event and to its end."""
    url = f"ws://127.0.0.1:{port}/ws/chat/"
    headers = {"Authorization": f"Bearer {token}"}
    async with http.ws_connect(url, headers=headers, compress=0) as socket:
        await socket.receive_json()
        began, first = time.perf_counter(), 0.0
        message = {
            "type": "user_message",
            "id": str(uuid.uuid4()),
            "data": {"text": QUESTION},
        }
        await socket.send_str(json.dumps(message))
        while True:
            frame = await socket.receive_json(timeout=TURN_SECONDS)
            if frame["type"] in BAD:
                raise SystemExit(f"no answer: {frame['data']}")
            if not first and "seq" in frame:
                first = time.perf_counter() - began
            if frame["type"] == "agent_completed":
                return first, time.perf_counter() - began


async def main(port: int, token: str, turns: int) -> None:
    async with aiohttp.ClientSession() as http:
        times = [await ask(http, port, token) for _ in range(turns)]
    for name, column in zip(
        ("first event", "whole answer"), zip(*times, strict=True), strict=True
    ):
        print(
            f"{name}: median {statistics.median(column) * 1e3:.0f} ms, longest {max(column) * 1e3:.0f} ms"
        )


if __name__ == "__main__":
    asyncio.run(
        main(
            int(sys.argv[1]), sys.argv[2], int(sys.argv[3]) if len(sys.argv) > 3 else 30
        )
    )
