"""What is too heavy is refused before anything reads it, in words, and what is not is passed on."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from netra.gate import gated

pytestmark = pytest.mark.security

MOST = 2 * 1024 * 1024


class Client:
    """One request as a server hands it on, in the pieces given."""

    def __init__(self, *pieces: bytes, headers: Any = (), kind: str = "http") -> None:
        self.scope = {"type": kind, "path": "/", "headers": list(headers)}
        self._pieces = list(pieces) or [b""]
        self.sent: list[dict[str, Any]] = []
        self.read = 0

    async def receive(self) -> dict[str, Any]:
        if not self._pieces:
            await asyncio.Event().wait()
        piece = self._pieces.pop(0)
        self.read += 1
        more = bool(self._pieces)
        return {"type": "http.request", "body": piece, "more_body": more}

    async def send(self, message: dict[str, Any]) -> None:
        self.sent.append(message)

    async def ask(self) -> tuple[int, dict[str, Any]]:
        await gated(echo)(self.scope, self.receive, self.send)
        start, body = self.sent
        return start["status"], json.loads(body["body"])


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """Reads the whole body, as Django does, and says how long it was."""
    got, more = 0, True
    while more:
        message = await receive()
        got, more = got + len(message["body"]), message["more_body"]
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send(
        {"type": "http.response.body", "body": json.dumps({"got": got}).encode()}
    )


async def test_an_ordinary_request_passes() -> None:
    assert await Client(b"a" * MOST).ask() == (200, {"got": MOST})


async def test_a_body_that_says_how_long_it_is_is_not_even_read() -> None:
    client = Client(b"a", headers=[(b"content-length", str(MOST + 1).encode())])

    status, problem = await client.ask()

    assert (status, problem["code"], client.read) == (413, "too_large", 0)


@pytest.mark.parametrize(
    ("said", "status"), [("9" * 5000, 413), ("0" * 5000 + "1", 200), ("0", 200)]
)
async def test_a_length_is_read_however_it_is_written(said: str, status: int) -> None:
    client = Client(b"a", headers=[(b"content-length", said.encode())])

    assert (await client.ask())[0] == status


async def test_a_body_that_does_not_say_is_read_no_further_than_allowed() -> None:
    client = Client(*[b"a" * 65536] * 1000)

    status, problem = await client.ask()

    assert (status, problem["code"]) == (413, "too_large")
    assert client.read * 65536 <= MOST + 65536


@pytest.mark.parametrize(
    "headers",
    [[(b"x-n%d" % n, b"1") for n in range(101)], [(b"cookie", b"a" * 33_000)]],
    ids=["many", "long"],
)
async def test_too_many_or_too_long_headers_are_refused(headers: Any) -> None:
    status, problem = await Client(headers=headers).ask()

    assert (status, problem["code"]) == (431, "headers_too_large")


async def test_a_socket_with_too_many_headers_is_refused_before_it_is_accepted() -> (
    None
):
    client = Client(headers=[(b"cookie", b"a" * 33_000)], kind="websocket")

    await gated(echo)(client.scope, client.receive, client.send)

    assert client.sent == [{"type": "websocket.close"}]


async def test_a_body_that_does_not_come_is_not_waited_for(settings) -> None:
    settings.NETRA_BODY_SECONDS = 0.05
    client = Client(b"a", b"b")
    client._pieces = [b"a"]
    receive = client.receive

    async def slow() -> dict[str, Any]:
        message = await receive()
        return message | {"more_body": True}

    client.receive = slow  # type: ignore[method-assign]

    status, problem = await client.ask()

    assert (status, problem["code"]) == (408, "timeout")


async def test_after_the_body_one_may_wait_as_long_as_one_likes(settings) -> None:
    settings.NETRA_BODY_SECONDS = 0.05
    client, gone = Client(b"a"), []

    async def patient(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        try:
            async with asyncio.timeout(0.2):
                await receive()  # the client is still there
        except TimeoutError:
            gone.append("still there")

    await gated(patient)(client.scope, client.receive, client.send)

    assert gone == ["still there"]
    assert client.sent == []


async def test_the_refusal_carries_the_headers_of_every_answer() -> None:
    client = Client(headers=[(b"content-length", b"99999999")])

    await client.ask()

    told = dict(client.sent[0]["headers"])
    assert told[b"content-type"] == b"application/problem+json"
    assert told[b"cache-control"] == b"no-store"
    assert told[b"x-content-type-options"] == b"nosniff"
    assert told[b"content-security-policy"] == b"default-src 'none'"
