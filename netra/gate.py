"""What a request may weigh, decided before anything reads it: headers, bytes, seconds. Not who may ask.

Django would take a body of any size to disk before its own limits look at it.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from typing import Any

from django.conf import settings

from netra.hardening import HEADERS, NO_STORE

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

TITLES = {
    408: ("timeout", "Request timeout", "Send the whole request at once."),
    413: ("too_large", "Too large", "Send less at once."),
    431: ("headers_too_large", "Headers too large", "Send fewer and shorter headers."),
    503: ("unavailable", "Service unavailable", "Try again in a moment."),
}
RETRY_SECONDS = b"2"


class HeavyError(Exception):
    """A request that is more than it may be, with the status that says so."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status, self.detail = status, detail


def gated(application: Application) -> Application:
    """The same application, which sees only requests of bearable weight."""

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in {"http", "websocket"}:
            await application(scope, receive, send)
            return
        try:
            _weigh(scope)
            if scope["type"] == "http":
                receive = _measured(receive)
            await application(scope, receive, send)
        except HeavyError as error:
            await refuse(scope, send, error.status, error.detail)

    return serve


async def refuse(scope: Scope, send: Send, status: int, detail: str) -> None:
    """Answer in the API's own form, without Django: it may be what cannot answer."""
    if scope["type"] == "websocket":
        await send({"type": "websocket.close"})
        return
    code, title, fix = TITLES[status]
    problem = {
        "type": f"urn:netra:problem:{code}",
        "title": title,
        "status": status,
        "detail": detail,
        "code": code,
        "fix": fix,
        "receipt_id": None,
    }
    said = {"Content-Type": "application/problem+json", "Cache-Control": NO_STORE}
    said |= HEADERS | {"Content-Security-Policy": "default-src 'none'"}
    headers = [(n.lower().encode(), v.encode()) for n, v in said.items()]
    if status == 503:
        headers.append((b"retry-after", RETRY_SECONDS))
    else:
        headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps(problem).encode()})


def _weigh(scope: Scope) -> None:
    headers = scope.get("headers") or ()
    weight = sum(len(name) + len(value) for name, value in headers)
    if len(headers) > settings.NETRA_HEADERS_MAX:
        most = f"{settings.NETRA_HEADERS_MAX} headers are read."
        raise HeavyError(431, f"No more than {most}")
    if weight > settings.NETRA_HEADER_BYTES_MAX:
        most = f"{settings.NETRA_HEADER_BYTES_MAX // 1024} KiB of headers are read."
        raise HeavyError(431, f"No more than {most}")
    lengths = [value for name, value in headers if name == b"content-length"]
    if any(_is_longer(length, _body_max()) for length in lengths):
        raise _too_large()


def _is_longer(told: bytes, most: int) -> bool:
    """Python reads no number of thousands of digits."""
    digits = told.lstrip(b"0")
    return told.isdigit() and (
        len(digits) > len(str(most)) or int(digits or b"0") > most
    )


def _measured(receive: Receive) -> Receive:
    """Counts what comes, and when the last of it came; what follows may take its time."""
    got, whole = 0, False
    give_up = time.monotonic() + settings.NETRA_BODY_SECONDS

    async def measured() -> Any:
        nonlocal got, whole
        if whole:
            return await receive()  # waits for the client to go
        try:
            async with asyncio.timeout(give_up - time.monotonic()):
                message = await receive()
        except TimeoutError:
            seconds = settings.NETRA_BODY_SECONDS
            detail = f"The body did not come within {seconds:.0f} seconds."
            raise HeavyError(408, detail) from None
        got += len(message.get("body", b""))
        whole = not message.get("more_body", False)
        if got > _body_max():
            raise _too_large()
        return message

    return measured


def _body_max() -> int:
    return int(settings.DATA_UPLOAD_MAX_MEMORY_SIZE)


def _too_large() -> HeavyError:
    return HeavyError(413, f"The body is larger than {_body_max() // 1024:,} KiB.")
