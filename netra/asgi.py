"""HTTP and WebSocket for an ASGI server."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from typing import Any

from channels.routing import ProtocolTypeRouter, URLRouter
from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "netra.settings")
http = get_asgi_application()

from apps.chat.routing import websocket_urlpatterns  # noqa: E402 - the app registry must be ready first
from netra.runtime import runtime  # noqa: E402

Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]

# django-stubs and types-channels do not agree on what an ASGI callable is.
_doors: dict[str, Any] = {"http": http, "websocket": URLRouter(websocket_urlpatterns)}
_routes: Any = ProtocolTypeRouter(_doors)


async def application(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    """Serve one connection; the first one starts the runtime where no server command did."""
    if scope["type"] == "lifespan":
        await _lifespan(receive, send)
        return
    if not runtime.running and not runtime.stopped:
        await runtime.start()
    await _routes(scope, receive, send)


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            await runtime.start()
            await send({"type": "lifespan.startup.complete"})
        else:
            await runtime.stop()
            await send({"type": "lifespan.shutdown.complete"})
            return
