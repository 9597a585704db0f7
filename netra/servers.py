"""Daphne and uvicorn, each started with the runtime beside it and stopped after it."""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
from typing import Any

from apps.chat.limits import MESSAGE_MAX
from netra.runtime import runtime

APPLICATION = "netra.asgi:application"


def serve_uvicorn(host: str, port: int) -> None:
    """Serve under uvicorn: uvloop, no per-message deflate, real send back-pressure."""
    import uvicorn  # noqa: PLC0415 - only the chosen server is loaded

    class Server(uvicorn.Server):
        async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
            await (
                runtime.stop()
            )  # sends sockets away with a reason before uvicorn cuts them
            await super().shutdown(sockets)

    config = uvicorn.Config(
        APPLICATION,
        host=host,
        port=port,
        ws="websockets-sansio",
        ws_max_size=MESSAGE_MAX,
        ws_per_message_deflate=False,
        lifespan="on",
        access_log=False,
        log_level="warning",
        timeout_graceful_shutdown=10,
    )
    # uvicorn repeats the signal that stopped it; what `serve` started beside it must still end.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: sys.exit(0))
    Server(config).run()


def serve_daphne(host: str, port: int) -> None:
    """Serve under Daphne, whose sends never block: Netra's window bounds what is on the way."""
    from daphne.endpoints import build_endpoint_description_strings  # noqa: PLC0415 - see above
    from daphne.server import Server  # noqa: PLC0415
    from twisted.internet import reactor  # noqa: PLC0415
    from twisted.internet.defer import Deferred  # noqa: PLC0415

    from netra.asgi import application  # noqa: PLC0415

    class PoliteServer(Server):  # type: ignore[misc]  # Daphne has no types
        """Lets the runtime send sockets away before Daphne kills what serves them."""

        def kill_all_applications(self) -> Any:
            stopped = Deferred.fromFuture(asyncio.ensure_future(runtime.stop()))
            return stopped.addCallback(lambda _: Server.kill_all_applications(self))

    server = PoliteServer(
        application,
        endpoints=build_endpoint_description_strings(host=host, port=port),
        signal_handlers=True,
        server_name="netra",
    )
    turning: Any = reactor

    def start() -> None:
        # Too large a frame is closed with 1009, not cut off; a null origin is refused by us, in words.
        server.ws_factory.setProtocolOptions(
            maxMessagePayloadSize=MESSAGE_MAX,
            maxFramePayloadSize=MESSAGE_MAX,
            failByDrop=False,
            allowNullOrigin=True,
        )
        runtime.starting = asyncio.get_event_loop().create_task(runtime.start())
        runtime.starting.add_done_callback(started)

    def started(starting: asyncio.Task[None]) -> None:
        if not starting.cancelled() and starting.exception() is not None:
            turning.stop()  # a server without its runtime would only take questions in

    turning.callWhenRunning(start)
    server.run()
    if (
        runtime.starting
        and runtime.starting.done()
        and not runtime.starting.cancelled()
    ):
        runtime.starting.result()


SERVERS = {"daphne": serve_daphne, "uvicorn": serve_uvicorn}
