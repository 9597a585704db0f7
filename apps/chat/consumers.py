"""The WebSocket door: accept, authenticate, hand frames to the router, end with a reason."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

from channels.generic.websocket import AsyncWebsocketConsumer
from django.conf import settings
from django.db import Error
from django.http import parse_cookie
from django.http.request import split_domain_port, validate_host

from apps.accounts import credentials, whence
from apps.accounts.access import Principal
from apps.accounts.credentials import Credential
from apps.accounts.permissions import TokenScope
from apps.chat import protocol
from apps.chat.connections import Connection, connections
from apps.chat.limits import DAPHNE_WINDOW, Limits
from apps.chat.outbox import Outbox, SlowConsumerError
from apps.chat.protocol import CloseCode
from apps.chat.router import router
from apps.core import circumstances
from apps.core.database import read
from apps.core.errors import (
    BadFrameError,
    NetraError,
    NotAllowedError,
    NotAuthenticatedError,
    UnavailableError,
)
from apps.core.tenancy import system
from apps.executions.states import EventType

log = logging.getLogger(__name__)

FAREWELL_SECONDS = 2.0
SLOW_FAREWELL_SECONDS = 10.0  # who reads again by then learns why it was sent away
SIGN_IN_SECONDS = 8.0  # then the database is as good as away
SIGN_IN = system("consumers: who opens this socket")


class TooManyConnectionsError(NetraError):
    """You have too many open connections."""

    code = "too_many_connections"
    fix = "Close another tab or connection."


class SlowError(NetraError):
    """The connection was too slow."""

    code = "slow_consumer"
    fix = "Connect again; nothing is lost."


CLOSE_CODES: dict[type[NetraError], CloseCode] = {
    BadFrameError: CloseCode.BAD_FRAMES,
    NotAuthenticatedError: CloseCode.NOT_AUTHENTICATED,
    NotAllowedError: CloseCode.REFUSED,
    TooManyConnectionsError: CloseCode.TOO_MANY,
    UnavailableError: CloseCode.UNAVAILABLE,
}


class ChatConsumer(AsyncWebsocketConsumer):
    """One socket of one person. Serves all their threads in one organisation."""

    connection: Connection | None = None
    ended = cut_off = False

    async def __call__(
        self,
        scope: Any,
        receive: Callable[[], Awaitable[Any]],
        send: Callable[[Any], Awaitable[None]],
    ) -> None:
        """Serve one connection to its end.

        Channels' own loop sends every message through one thread of the process and joins the
        channel layer; one slow call there would hold up every socket. Here frames come straight in.
        """
        self.scope, self._raw_send = scope, send
        self._serving = asyncio.current_task()
        with circumstances.under(whence.of_socket(scope, self._session_key())):
            await self._serve(receive)

    async def _serve(self, receive: Callable[[], Awaitable[Any]]) -> None:
        try:
            while not self.ended:
                message = await receive()
                if message["type"] == "websocket.disconnect":
                    self._told_code(message.get("code"))
                    return
                if message["type"] == "websocket.connect":
                    await self._connect()
                elif self.connection is not None and not self.ended:
                    self.connection.heard_at = time.monotonic()
                    await router.route(self.connection, message.get("text"))
                    if self.connection.outbox.overfull:
                        await self._end(CloseCode.SLOW, SlowError())
        except asyncio.CancelledError:
            if not self.cut_off:
                raise
        finally:
            self._leave()

    async def _connect(self) -> None:
        offered = self._offered()
        chosen = protocol.SUBPROTOCOL if protocol.SUBPROTOCOL in offered else None
        await self._raw_send({"type": "websocket.accept", "subprotocol": chosen})
        try:
            if connections.refusing is not None:
                raise connections.refusing
            if offered and chosen is None:
                raise BadFrameError(
                    f"Only the sub-protocol {protocol.SUBPROTOCOL!r} is spoken here."
                )
            principal, credential = await self._authenticate()
            limits = Limits.of(principal.plan, window=self._window())
            if connections.full(principal, limits):
                raise TooManyConnectionsError(values={"limit": limits.connections})
        except NetraError as error:
            await self._refuse(error)
        except (Error, TimeoutError, RuntimeError) as error:
            # The database is away, frozen, or its threads have just ended: never 1011.
            log.warning(
                "a connection could not be signed in: %s: %s",
                type(error).__name__,
                error,
                extra={"action": "chat.connect_failed"},
            )
            await self._refuse(
                UnavailableError("The server is not ready.", retry_after=2)
            )
        else:
            self._welcome(principal, credential, limits)

    async def _authenticate(self) -> tuple[Principal, Credential]:
        headers = {
            name.decode("latin-1").lower(): value.decode("latin-1")
            for name, value in self.scope["headers"]
        }
        query = parse_qs(self.scope.get("query_string", b"").decode("latin-1"))
        slug = query["organisation"][0] if "organisation" in query else None
        credential = credentials.credential_of(headers, self._offered())
        origin = headers.get("origin")
        if not _is_served(headers.get("host", "")):
            raise NotAllowedError("This host name is not served here.", field="host")
        if credential.needs_origin and origin is None:
            raise NotAllowedError(
                "A browser's session needs an Origin header.", field="origin"
            )
        if origin is not None and not _is_own_origin(origin, headers.get("host", "")):
            raise NotAllowedError("This origin may not connect.", field="origin")
        async with asyncio.timeout(SIGN_IN_SECONDS):
            principal = await read(
                SIGN_IN, lambda: credentials.principal_of(credential, slug)
            )
        if not principal.allows(TokenScope.CHAT):
            raise NotAllowedError("This token is not for the chat.", field="scopes")
        return principal, credential

    def _welcome(
        self, principal: Principal, credential: Credential, limits: Limits
    ) -> None:
        outbox = Outbox(self._send_text, window=limits.window)
        self.connection = Connection(
            principal=principal,
            credential=credential,
            limits=limits,
            outbox=outbox,
            end=self._end,
        )
        connections.add(self.connection)
        data = {
            "connection_id": str(self.connection.id),
            "user": {
                "id": str(principal.user_id),
                "email": principal.email,
                "name": principal.name,
            },
            "organisation": {
                "id": str(principal.organisation_id),
                "slug": principal.organisation_slug,
                "name": principal.organisation_name,
            },
            "limits": limits.announced(),
            "events": [kind.value for kind in EventType],
        }
        outbox.put_anyway(protocol.frame("connection_established", data))
        self._writer = asyncio.get_running_loop().create_task(
            self._write(outbox), name="netra-socket"
        )

    async def _write(self, outbox: Outbox) -> None:
        try:
            await outbox.run()
        except SlowConsumerError:
            await self._end(CloseCode.SLOW, SlowError())
        except asyncio.CancelledError:
            raise
        except Exception as error:  # noqa: BLE001 - servers differ in what a gone client raises
            log.info(
                "a socket's send failed: %s",
                error,
                extra={"action": "chat.send_failed"},
            )
            outbox.close()

    async def _refuse(self, error: NetraError) -> None:
        """Say why in a frame, then close with the code: browsers see no reason otherwise."""
        code = next(
            (c for kind, c in CLOSE_CODES.items() if isinstance(error, kind)),
            CloseCode.UNAVAILABLE if error.status == 503 else CloseCode.REFUSED,
        )
        self.ended = True
        await self._farewell(protocol.error_frame(error), code)

    async def _end(self, code: CloseCode | int, error: NetraError) -> None:
        """End an accepted connection; what is queued still goes, unless the client is slow."""
        if self.ended:
            return
        self.ended = True
        current = asyncio.current_task()
        if self._writer is not current:
            self._writer.cancel()
        rest: Outbox | None = None
        if self.connection is not None:
            self._told_code(code)
            self.connection.outbox.close()
            if code == CloseCode.SLOW:
                connections.remove(self.connection)
            else:
                rest = self.connection.outbox
        await self._farewell(protocol.error_frame(error), code, rest)

    async def _farewell(
        self, reason: str, code: int, rest: Outbox | None = None
    ) -> None:
        slow = code == CloseCode.SLOW
        try:
            async with asyncio.timeout(
                SLOW_FAREWELL_SECONDS if slow else FAREWELL_SECONDS
            ):
                if rest is not None:
                    await rest.send_rest()
                await self._send_text(reason)
                await self._raw_send({"type": "websocket.close", "code": int(code)})
        except Exception as error:  # noqa: BLE001 - the client may be gone, in each server's own way
            log.info(
                "a farewell failed: %s", error, extra={"action": "chat.farewell_failed"}
            )
            self._cut_off()

    def _cut_off(self) -> None:
        """A client that takes not even its farewell: the call ends, and the server ends the socket."""
        self.cut_off = True
        if self._serving is not None and self._serving is not asyncio.current_task():
            self._serving.cancel()

    async def _send_text(self, frame: str) -> None:
        await self._raw_send({"type": "websocket.send", "text": frame})

    def _told_code(self, code: object) -> None:
        """Note with which code this ends, where it is the first that says so."""
        connection = self.connection
        if (
            connection is not None
            and connection.close_code is None
            and isinstance(code, int)
        ):
            connection.close_code = int(code)

    def _leave(self) -> None:
        self.ended = True
        if self.connection is not None:
            connections.remove(self.connection)
            self._writer.cancel()

    def _session_key(self) -> str | None:
        headers = dict(self.scope["headers"])
        cookies = parse_cookie(headers.get(b"cookie", b"").decode("latin-1"))
        return cookies.get(settings.SESSION_COOKIE_NAME)

    def _offered(self) -> list[str]:
        return list(self.scope.get("subprotocols") or ())

    def _window(self) -> int | None:
        # uvicorn announces this extension and blocks a send whose client does not read; for any
        # other server (Daphne) Netra keeps its own account of what is on the way.
        extensions = self.scope.get("extensions") or {}
        return None if "websocket.http.response" in extensions else DAPHNE_WINDOW


def _is_served(host: str) -> bool:
    """Whether this is a name of ours: a page that re-points its own name here must not get in."""
    name, _ = split_domain_port(host)
    return validate_host(name, settings.ALLOWED_HOSTS) if name else not host


def _is_own_origin(origin: str, host: str) -> bool:
    """The configured address, or with its scheme exactly the host and port this was sent to."""
    public: str = settings.NETRA_PUBLIC_URL
    own = f"{urlsplit(public).scheme}://{host.lower()}"
    return origin == public or (bool(host) and origin == own)
