"""Asks the installation's own HTTP application in this process, as a browser or a client would."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit

from asgiref.sync import async_to_sync
from django.conf import settings
from django.core.handlers.asgi import ASGIHandler

from apps.audits.isolation.judging import Answer
from apps.core.surfaces import Login, Route, Somebody

ANSWER_SECONDS = 10.0
BODY_MOST = 1_000_000  # characters of an answer that are searched


class Asker:
    """One client of the installation."""

    def __init__(self) -> None:
        self._application = ASGIHandler()
        place = urlsplit(settings.NETRA_PUBLIC_URL)
        self._scheme, self._host = place.scheme, place.netloc

    def warm_up(self) -> None:
        """Load what the first request loads, so that no probe waits for it."""
        route = Route(verb="GET", path="/healthz", login=Login.NONE)
        async_to_sync(self._send)(route, route.path, b"", None)

    def ask(self, route: Route, ids: Mapping[str, str], who: Somebody | None) -> Answer:
        """The answer to one request; a time-out or an error of the server is an answer too."""
        return async_to_sync(self._ask)(route, ids, who)

    async def _ask(
        self, route: Route, ids: Mapping[str, str], who: Somebody | None
    ) -> Answer:
        path = filled(route.path, ids)
        body = filled_body(route.body, ids)
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                return await self._send(route, path, body, who)
        except TimeoutError:
            return Answer(0, "", f"no answer within {ANSWER_SECONDS:.0f} s")
        except Exception as error:  # noqa: BLE001 - whatever it was, nothing is proved by it
            return Answer(0, "", f"{type(error).__name__}: {error}")

    async def _send(
        self, route: Route, path: str, body: bytes, who: Somebody | None
    ) -> Answer:
        scope = self._scope(route, path, body, who)
        status = 0
        chunks: list[bytes] = []
        waiting = asyncio.Event()
        asked = [{"type": "http.request", "body": body, "more_body": False}]

        async def receive() -> Any:
            if asked:
                return asked.pop()
            await waiting.wait()  # the client stays; a disconnect would end the view
            return {"type": "http.disconnect"}

        async def send(message: Mapping[str, Any]) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                chunks.extend(value for _, value in message["headers"])
            elif message["type"] == "http.response.body":
                chunks.append(message.get("body", b""))

        await self._application(scope, receive, send)
        text = b"\n".join(chunks).decode("utf-8", "replace")
        return Answer(status, text[:BODY_MOST])

    def _scope(
        self, route: Route, path: str, body: bytes, who: Somebody | None
    ) -> dict[str, Any]:
        plain, _, query = path.partition("?")
        return {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": route.verb,
            "scheme": self._scheme,
            "path": plain,
            "raw_path": plain.encode(),
            "query_string": query.encode(),
            "root_path": "",
            "headers": list(self._headers(route, body, who)),
            "client": ("127.0.0.1", 1),
            "server": (self._host, 0),
        }

    def _headers(
        self, route: Route, body: bytes, who: Somebody | None
    ) -> Iterable[tuple[bytes, bytes]]:
        yield b"host", self._host.encode()
        yield b"accept", b"application/json, application/scim+json, */*"
        yield b"user-agent", b"netra-isolation-audit"
        if self._scheme == "https":
            yield b"x-forwarded-proto", b"https"
        if body:
            yield b"content-type", b"application/json"
            yield b"content-length", str(len(body)).encode()
        if who is None:
            return
        if route.login is Login.TOKEN:
            yield b"authorization", f"Bearer {who.token}".encode()
        elif route.login is Login.DIRECTORY:
            yield b"authorization", f"Bearer {who.directory_token}".encode()


def filled(path: str, ids: Mapping[str, str]) -> str:
    """The path with the ids in their places. Raises KeyError where one was not planted."""
    return path.format_map(ids)


def filled_body(body: Mapping[str, object] | None, ids: Mapping[str, str]) -> bytes:
    if body is None:
        return b""
    text = json.dumps(body)
    for name, value in ids.items():
        text = text.replace("{" + name + "}", value)
    return text.encode()


def absent_ids(ids: Mapping[str, str]) -> dict[str, str]:
    """The same names with ids that nothing has."""
    return {
        name: str(uuid.uuid4()) if _is_uuid(value) else "987654321"
        for name, value in ids.items()
    }


def _is_uuid(value: str) -> bool:
    try:
        uuid.UUID(value)
    except ValueError:
        return False
    return True
