"""HTTP and WebSocket for an ASGI server."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Awaitable, Callable
from typing import Any

from channels.routing import ProtocolTypeRouter, URLRouter
from django.core.asgi import get_asgi_application
from django.urls import re_path

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "netra.settings")
http = get_asgi_application()

from apps.chat.routing import websocket_urlpatterns  # noqa: E402 - the app registry must be ready first
from netra.gate import gated, refuse  # noqa: E402
from netra.runtime import runtime  # noqa: E402

Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]


async def _nowhere(_: Any, receive: Receive, send: Send) -> None:
    """A socket to an address that leads nowhere gets a plain 403, not a fault of ours."""
    await receive()
    await send({"type": "websocket.close"})


# django-stubs and types-channels do not agree on what an ASGI callable is.
_elsewhere: Any = _nowhere
_sockets = URLRouter([*websocket_urlpatterns, re_path("", _elsewhere)])
_doors: dict[str, Any] = {"http": http, "websocket": _sockets}
_routes: Any = gated(ProtocolTypeRouter(_doors))  # type: ignore[arg-type]  # see above

log = logging.getLogger(__name__)
START_SECONDS = 2.0  # how long a visitor waits for a server that is starting
LOOK_SECONDS = 0.05
PROBES = {"/healthz", "/readyz"}


async def application(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    """Serve one connection; the first one starts the runtime where no server command did."""
    if scope["type"] == "lifespan":
        await _lifespan(receive, send)
        return
    if not (runtime.expected or runtime.running or runtime.stopped):
        runtime.launch(or_else=_tell_of_failure)
    if not await _ready(scope) and scope["type"] == "http":
        await refuse(scope, send, 503, "The server is starting.")
        return
    await _routes(scope, receive, send)  # a socket is refused by its consumer, in words


async def _ready(scope: dict[str, Any]) -> bool:
    """Whether this can be served: a start is waited for, for a moment."""
    if scope["path"] in PROBES:
        return True
    give_up = time.monotonic() + START_SECONDS
    while not (runtime.ready or runtime.stopped) and time.monotonic() < give_up:  # noqa: ASYNC110
        await asyncio.sleep(
            LOOK_SECONDS
        )  # may be asked before there is a start to wait for
    return runtime.ready or runtime.stopped


def _tell_of_failure() -> None:
    log.error(
        "the start failed",
        exc_info=runtime.failure,
        extra={"action": "asgi.start_failed"},
    )


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            if runtime.starting is None:
                await runtime.start()
            elif runtime.wait_first is None:
                await runtime.starting
            await send({"type": "lifespan.startup.complete"})
        else:
            await runtime.stop()
            await send({"type": "lifespan.shutdown.complete"})
            return
