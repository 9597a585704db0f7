"""Daphne and uvicorn, each started with the runtime beside it and stopped after it."""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
from functools import partial
from types import FrameType
from typing import Any

from apps.chat.limits import MESSAGE_MAX
from netra.runtime import runtime

APPLICATION = "netra.asgi:application"
SIGNALS = (signal.SIGINT, signal.SIGTERM)
LAST_RESPONSES = 10  # seconds for pages that are on their way when the drain is over


def serve_uvicorn(host: str, port: int) -> None:
    """Serve under uvicorn: uvloop, no per-message deflate, real send back-pressure."""
    runtime.expect()
    import uvicorn  # noqa: PLC0415 - only the chosen server is loaded

    class Server(uvicorn.Server):
        def handle_exit(self, sig: int, frame: FrameType | None) -> None:
            """First signal: drain. Second: hand back now."""
            again = self.should_exit
            if again:  # uvicorn's own force would leave out the end of the lifespan
                self.config.timeout_graceful_shutdown = 1
            else:
                super().handle_exit(sig, frame)
            _asked_to_stop(again=again)

        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            runtime.launch(or_else=self.give_up)
            await super().startup(sockets)

        async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
            # Sends sockets away with a reason before uvicorn cuts them.
            await runtime.stop()
            await super().shutdown(sockets)

        def give_up(self) -> None:
            self.should_exit = True

    config = uvicorn.Config(
        APPLICATION,
        host=host,
        port=port,
        ws="websockets-sansio",
        ws_max_size=MESSAGE_MAX,
        ws_per_message_deflate=False,
        # Whose word about the visitor counts is decided in one place (apps.core.addresses).
        proxy_headers=False,
        lifespan="on",
        access_log=False,
        log_level="warning",
        timeout_graceful_shutdown=LAST_RESPONSES,
    )
    # uvicorn repeats the signal that stopped it; what `serve` started beside it must still end.
    for number in SIGNALS:
        signal.signal(number, lambda *_: sys.exit(0))
    Server(config).run()


def serve_daphne(host: str, port: int) -> None:
    """Serve under Daphne, whose sends never block: Netra's window bounds what is on the way."""
    from daphne.endpoints import build_endpoint_description_strings  # noqa: PLC0415 - see above
    from daphne.server import Server  # noqa: PLC0415
    from twisted.internet import reactor  # noqa: PLC0415
    from twisted.internet.defer import Deferred  # noqa: PLC0415

    from netra.asgi import application  # noqa: PLC0415

    runtime.expect()

    class PoliteServer(Server):  # type: ignore[misc]  # Daphne has no types
        """Lets the runtime send sockets away before Daphne kills what serves them."""

        def kill_all_applications(self) -> Any:
            stopped = Deferred.fromFuture(asyncio.ensure_future(runtime.stop()))
            return stopped.addCallback(lambda _: Server.kill_all_applications(self))

    server = PoliteServer(
        application,
        endpoints=build_endpoint_description_strings(host=host, port=port),
        signal_handlers=False,
        server_name="netra",
    )
    # Twisted calls this before its loop runs.
    reactor.callWhenRunning(lambda: _begin(server, reactor))
    server.run()


def _begin(server: Any, reactor: Any) -> None:
    """Set what Daphne has no arguments for: frame limits, our way to end, and the runtime."""
    # Too large a frame is closed with 1009, not cut off; a null origin is refused by us, in words.
    server.ws_factory.setProtocolOptions(
        maxMessagePayloadSize=MESSAGE_MAX,
        maxFramePayloadSize=MESSAGE_MAX,
        failByDrop=False,
        allowNullOrigin=True,
    )
    asked: list[bool] = []

    def leave() -> None:
        _asked_to_stop(again=bool(asked))
        if not asked:
            asked.append(True)
            reactor.stop()

    def give_up() -> None:
        if not asked:
            leave()

    loop = asyncio.get_event_loop()
    for number in SIGNALS:
        loop.add_signal_handler(number, leave)
    # Later, on the running loop: Twisted would tell nobody of a fault in here.
    loop.call_soon(partial(runtime.launch, or_else=give_up))


def _asked_to_stop(*, again: bool) -> None:
    """Tell the person at the terminal what is waited for; asked again, wait no longer."""
    if again:
        runtime.hurry()
        sys.stderr.write("Netra hands back what runs and stops now.\n")
    elif runtime.failure is None:
        sys.stderr.write(runtime.farewell() + "\n")


SERVERS = {"daphne": serve_daphne, "uvicorn": serve_uvicorn}
