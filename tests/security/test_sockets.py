"""Which pages may open a socket with a person's cookie: ours, to the letter."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from django.test import Client

from netra.asgi import _routes as sockets
from tests.doors import secret_of

pytestmark = [pytest.mark.security, pytest.mark.integration]

PUBLIC = "https://netra.example"
HOST = "netra.example"


@pytest.fixture(autouse=True)
def installation(settings, committed):
    settings.NETRA_PUBLIC_URL = PUBLIC
    settings.ALLOWED_HOSTS = [HOST, "127.0.0.1"]


@pytest.fixture
def cookie(bob) -> str:
    client = Client(headers={"Host": HOST})
    client.force_login(bob)
    return f"sessionid={client.cookies['sessionid'].value}"


async def knock(
    path: str = "/ws/chat/", query: str = "", **headers: str
) -> list[dict[str, Any]]:
    """What a socket with these headers is sent, until it is closed or welcomed."""
    sent: list[dict[str, Any]] = []
    told = asyncio.Event()

    async def receive() -> dict[str, Any]:
        if not sent:
            return {"type": "websocket.connect"}
        await told.wait()
        return {"type": "websocket.disconnect", "code": 1000}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)
        if message["type"] in {"websocket.send", "websocket.close"}:
            told.set()

    lines = [(n.lower().encode(), v.encode()) for n, v in headers.items()]
    scope = {
        "type": "websocket",
        "path": path,
        "headers": lines,
        "query_string": query.encode(),
        "subprotocols": [],
    }
    async with asyncio.timeout(20):
        await sockets(scope, receive, send)
    return sent


def outcome(sent: list[dict[str, Any]]) -> str:
    frame = json.loads(next(m["text"] for m in sent if m["type"] == "websocket.send"))
    return str(frame["data"].get("code") or frame["type"])


async def test_our_own_page_may(cookie: str) -> None:
    sent = await knock(Cookie=cookie, Origin=PUBLIC, Host=HOST)

    assert outcome(sent) == "connection_established"


async def test_at_another_port_our_own_page_is_still_ours(cookie: str) -> None:
    sent = await knock(
        Cookie=cookie, Origin="https://127.0.0.1:8443", Host="127.0.0.1:8443"
    )

    assert outcome(sent) == "connection_established"


@pytest.mark.parametrize(
    "origin",
    [
        None,
        "",
        "null",
        "http://netra.example",  # the same name without TLS
        "https://netra.example:444",
        "https://netra.example.",
        "https://netra.example/",
        "https://netra.example.evil.example",
        "https://evil-netra.example",
        "https://sub.netra.example",
        "https://netra.example@evil.example",
        "https://evil.example",
        "http://127.0.0.1",
        "https://127.0.0.1:8443",  # ours, but not what this was sent to
        "file://",
        "chrome-extension://abc",
    ],
)
async def test_no_other_page_may(cookie: str, origin: str | None) -> None:
    headers = {"Cookie": cookie, "Host": HOST} | (
        {} if origin is None else {"Origin": origin}
    )

    sent = await knock(**headers)

    assert outcome(sent) == "not_allowed"
    assert sent[-1] == {"type": "websocket.close", "code": 4403}


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:443", "netra.example.evil.example"]
)
async def test_a_name_that_was_re_pointed_at_us_opens_nothing(
    cookie: str, host: str
) -> None:
    for origin in (f"https://{host}", PUBLIC):
        sent = await knock(Cookie=cookie, Origin=origin, Host=host)

        assert outcome(sent) == "not_allowed"


async def test_a_token_needs_no_page_but_a_foreign_page_may_not_use_one(
    bob_principal,
) -> None:
    from asgiref.sync import sync_to_async

    bearer = f"Bearer {await sync_to_async(secret_of)(bob_principal)}"

    alone = await knock(Authorization=bearer, Host=HOST)
    foreign = await knock(
        Authorization=bearer, Host=HOST, Origin="https://evil.example"
    )

    assert (outcome(alone), outcome(foreign)) == (
        "connection_established",
        "not_allowed",
    )


@pytest.mark.parametrize(
    "path", ["/", "/ws/", "/ws/chat", "/ws/chat/x/", "/chat/", "/admin/"]
)
async def test_a_socket_to_nowhere_is_refused_and_is_no_fault(path: str) -> None:
    assert await knock(path, Host=HOST) == [{"type": "websocket.close"}]


async def test_a_session_in_the_address_opens_nothing(cookie: str) -> None:
    """Addresses end up in logs, so no door reads a credential from them."""
    sent = await knock(query=cookie, Origin=PUBLIC, Host=HOST)

    assert outcome(sent) == "not_authenticated"
