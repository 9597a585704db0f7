"""A fake provider on loopback: OpenAI's chat completions, streamed, and every way in which they fail.

In a test: `async with provider.serving(Mode.OK) as fake: …`. Beside real processes:
`python -m tests.agents.provider --port N --mode M`; `POST /mode?is=hang` switches it, `GET /calls` counts.
Processes reach it by OPENAI_BASE_URL=http://127.0.0.1:N/v1 and a model named `openai-chat:…`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from enum import StrEnum

from aiohttp import web

WORDS = ("It ", "is ", "well.")


class Mode(StrEnum):
    """How it answers."""

    OK = "ok"
    SLOW = "slow"  # a word each 200 ms
    BUSY = "busy"  # 429 with Retry-After
    BUSY_FOR_EVER = "busy_for_ever"  # 429 without
    BROKEN = "broken"  # 500
    AWAY = "away"  # 503
    UNWILLING = "unwilling"  # 400
    SPENT = "spent"  # 429 because the account is empty
    HANG = "hang"  # takes the request, says nothing
    STALL = "stall"  # two words, then nothing
    CUT = "cut"  # two words, then the connection breaks
    REFUSE = "refuse"  # the connection breaks before any answer


class Provider:
    """Counts its calls; `mode` and `retry_after` may be changed at any time."""

    def __init__(self, mode: Mode = Mode.OK, retry_after: str = "2") -> None:
        self.mode, self.retry_after = mode, retry_after
        self.calls = 0
        self.at_once = self.most_at_once = 0
        self.base_url = ""

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_post("/v1/chat/completions", self._complete)
        app.router.add_post("/mode", self._switch)
        app.router.add_get("/calls", self._count)
        return app

    async def _switch(self, request: web.Request) -> web.Response:
        self.mode = Mode(request.query["is"])
        self.retry_after = request.query.get("retry_after", self.retry_after)
        return web.json_response({"mode": self.mode})

    async def _count(self, request: web.Request) -> web.Response:
        return web.json_response(
            {"calls": self.calls, "most_at_once": self.most_at_once}
        )

    async def _complete(self, request: web.Request) -> web.StreamResponse:
        self.calls += 1
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await request.read()
            return await self._answer(request)
        finally:
            self.at_once -= 1

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        mode = self.mode
        if mode in REFUSALS:
            status, code = REFUSALS[mode]
            headers = {"Retry-After": self.retry_after} if mode is Mode.BUSY else {}
            error = {"error": {"message": "secret detail", "code": code}}
            return web.json_response(error, status=status, headers=headers)
        if mode is Mode.REFUSE:
            _hang_up(request)
        if mode in {Mode.HANG, Mode.REFUSE}:
            await asyncio.sleep(3600)
        return await self._stream(request, mode)

    async def _stream(self, request: web.Request, mode: Mode) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for n, word in enumerate(WORDS):
            if n == len(WORDS) - 1 and mode is Mode.STALL:
                await asyncio.sleep(3600)
            if n == len(WORDS) - 1 and mode is Mode.CUT:
                _hang_up(request)
                return response
            await _send(response, {"content": word})
            if mode is Mode.SLOW:
                await asyncio.sleep(0.2)
        await _send(response, {}, finish="stop")
        await response.write(b"data: [DONE]\n\n")
        await response.write_eof()
        return response


REFUSALS = {
    Mode.BUSY: (429, "rate_limit_exceeded"),
    Mode.BUSY_FOR_EVER: (429, "rate_limit_exceeded"),
    Mode.SPENT: (429, "insufficient_quota"),
    Mode.BROKEN: (500, "server_error"),
    Mode.AWAY: (503, "service_unavailable"),
    Mode.UNWILLING: (400, "invalid_request"),
}


def _hang_up(request: web.Request) -> None:
    assert request.transport is not None
    request.transport.abort()


async def _send(
    response: web.StreamResponse, delta: dict[str, str], finish: str | None = None
) -> None:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    chunk = {
        "id": "c",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "fake",
        "choices": [choice],
    }
    await response.write(f"data: {json.dumps(chunk)}\n\n".encode())


@asynccontextmanager
async def serving(
    mode: Mode = Mode.OK, *, port: int = 0, retry_after: str = "2"
) -> AsyncIterator[Provider]:
    """A provider that listens as long as the block runs."""
    fake = Provider(mode, retry_after)
    runner = web.AppRunner(fake.app(), access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", port)
    await site.start()
    host, bound = runner.addresses[0][:2]
    fake.base_url = f"http://{host}:{bound}/v1"
    try:
        yield fake
    finally:
        await runner.cleanup()


async def _serve_for_ever(mode: Mode, port: int, retry_after: str) -> None:
    async with serving(mode, port=port, retry_after=retry_after) as fake:
        sys.stdout.write(fake.base_url + "\n")
        sys.stdout.flush()
        await asyncio.Event().wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--mode", type=Mode, default=Mode.OK, choices=list(Mode))
    parser.add_argument("--retry-after", default="2")
    given = parser.parse_args()
    asyncio.run(_serve_for_ever(given.mode, given.port, given.retry_after))
