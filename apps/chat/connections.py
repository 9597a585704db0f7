"""The open sockets of this process: who is behind each, what it may do, when it must end."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, field, replace
from functools import partial
from uuid import UUID, uuid4

from django.conf import settings
from django.utils import timezone

from apps.accounts import actions as accounts
from apps.accounts.access import Principal
from apps.accounts.credentials import Credential, roles_of
from apps.accounts.events import AccessEnded
from apps.chat import protocol
from apps.chat.delivery import delivery
from apps.chat.ledger import Door, Progress, ledger
from apps.chat.limits import Limits
from apps.chat.outbox import Outbox
from apps.chat.protocol import CloseCode
from apps.chat.subscriptions import Subscription
from apps.core.database import read, write
from apps.core.errors import (
    NetraError,
    NotAuthenticatedError,
    RateLimitedError,
    UnavailableError,
)
from apps.core.hub import crosses, hub
from apps.core.tenancy import system, topic
from apps.executions.tracker import ENDED

log = logging.getLogger(__name__)

TICK_SECONDS = 1.0
STOP_SECONDS = 5.0
CHANGES_SECONDS = 3.0  # a thread list may be that old in a person's other tabs
VALID_SECONDS = 3.0  # how often credentials are looked up again
MINUTE = 60.0
VALIDITY = system("connections: sessions, tokens and memberships that still hold")


class IdleError(NetraError):
    """Nothing was heard for a long time."""

    code = "idle"
    fix = "Connect again."


@crosses
@dataclass(frozen=True, slots=True, kw_only=True)
class ThreadNotice:
    """Hint to a person's other sockets: something happened in a thread, or someone types."""

    kind: str
    thread_id: UUID | None
    origin: UUID | None


@dataclass(slots=True, kw_only=True, eq=False)
class Connection:
    """One socket after it was accepted."""

    principal: Principal
    credential: Credential
    limits: Limits
    outbox: Outbox
    end: Callable[[CloseCode | int, NetraError], Awaitable[None]]
    door: Door = Door.WEBSOCKET
    id: UUID = field(default_factory=uuid4)
    close_code: int | None = None
    subscriptions: dict[UUID, Subscription] = field(default_factory=dict)
    progress: dict[UUID, Progress] = field(default_factory=dict)
    changed: set[UUID] = field(default_factory=set)
    bad_frames: int = 0
    heard_at: float = field(default_factory=time.monotonic)
    used_at: float = field(
        default_factory=time.monotonic
    )  # by the person, not the page
    noted_at: float = field(default_factory=time.monotonic)

    @property
    def user_topic(self) -> str:
        return topic(self.principal.organisation_id, "user", self.principal.user_id.hex)

    @property
    def place(self) -> tuple[UUID, UUID]:
        """The organisation and the person that this connection acts for."""
        return self.principal.organisation_id, self.principal.user_id

    def subscribe(self, thread_id: UUID, last: int) -> Subscription:
        """Attach to a thread's stream, everything up to `last` being known to the client."""
        self._detach(thread_id)
        account = self._account(thread_id, last)
        subscription = Subscription(
            self.principal.scope,
            thread_id,
            self.outbox,
            last,
            # A stream over HTTP keeps account itself: its queue is not the last stop.
            account if self.door is Door.WEBSOCKET else None,
        )
        subscription.leave = partial(self._left, subscription)
        self.subscriptions[thread_id] = subscription
        delivery.attach(subscription)
        return subscription

    def unsubscribe(self, thread_id: UUID) -> None:
        if self._detach(thread_id):
            self.progress[thread_id].close(self.close_code)

    def _detach(self, thread_id: UUID) -> bool:
        subscription = self.subscriptions.pop(thread_id, None)
        if subscription is not None:
            delivery.detach(subscription)
        return subscription is not None

    def _left(self, subscription: Subscription) -> None:
        """A subscription ended by itself; another one may have taken its place."""
        if self.subscriptions.get(subscription.thread_id) is subscription:
            self.unsubscribe(subscription.thread_id)

    def _account(self, thread_id: UUID, after: int) -> Progress:
        """The one account of this connection in a thread, however often it subscribes."""
        known = self.progress.get(thread_id)
        if known is not None:
            known.reopen(after)
            return known
        opened = self.progress[thread_id] = ledger.open(
            place=self.place,
            thread_id=thread_id,
            connection_id=self.id,
            door=self.door,
            after=after,
        )
        return opened

    def notice(self, message: object) -> None:
        """Hear of this person's other sockets."""
        if (
            not isinstance(message, ThreadNotice)
            or message.origin == self.id
            or self.outbox.closed
        ):
            return
        if message.kind == "typing":
            self.outbox.put(protocol.frame("typing", {}, thread_id=message.thread_id))
        elif (
            message.thread_id is not None
            and message.thread_id not in self.subscriptions
        ):
            self.changed.add(message.thread_id)

    def tell_changes(self) -> None:
        """Send what changed elsewhere, each thread once for all its changes."""
        changed, self.changed = self.changed, set()
        for thread_id in changed:
            self.outbox.put(
                protocol.frame(
                    "thread_changed", {"thread_id": str(thread_id)}, thread_id=thread_id
                )
            )

    def close(self) -> None:
        self.outbox.close()
        for thread_id in list(self.subscriptions):
            self.unsubscribe(thread_id)


class Connections:
    """All of them, by person."""

    def __init__(self) -> None:
        self._open: dict[tuple[UUID, UUID], list[Connection]] = defaultdict(list)
        self._asked: dict[tuple[UUID, UUID], deque[float]] = defaultdict(deque)
        self._pacing = threading.Lock()  # HTTP asks from threads of its own
        self._ticking: asyncio.Task[None] | None = None
        self._validated_at = self._told_at = 0.0
        self.refusing: UnavailableError | None = None

    def start(self) -> None:
        self.refusing = None
        hub.watch(ENDED, self.hear_end)
        ledger.start()
        self._ticking = asyncio.get_running_loop().create_task(
            self._tick_for_ever(), name="netra-connections"
        )

    async def stop(self) -> None:
        """Send everybody away with 4503, and write down what they got: the server is going."""
        self.refusing = UnavailableError("The server is going away.", retry_after=2)
        ending = [c.end(CloseCode.UNAVAILABLE, self.refusing) for c in self.all()]
        await asyncio.gather(*ending, return_exceptions=True)
        if self._ticking is not None:
            self._ticking.cancel()
            await asyncio.wait({self._ticking}, timeout=STOP_SECONDS)
        hub.unwatch(ENDED, self.hear_end)
        for connection in self.all():
            connection.close()
        await ledger.stop()

    def all(self) -> list[Connection]:
        return [connection for group in self._open.values() for connection in group]

    def full(self, principal: Principal, limits: Limits) -> bool:
        key = (principal.organisation_id, principal.user_id)
        return (
            settings.NETRA_LIMITS and len(self._open.get(key, ())) >= limits.connections
        )

    def add(self, connection: Connection) -> None:
        principal = connection.principal
        self._open[principal.organisation_id, principal.user_id].append(connection)
        hub.watch(connection.user_topic, connection.notice)

    def remove(self, connection: Connection) -> None:
        connection.close()
        hub.unwatch(connection.user_topic, connection.notice)
        key = (connection.principal.organisation_id, connection.principal.user_id)
        group = self._open.get(key, [])
        if connection in group:
            group.remove(connection)
        if not group:
            self._open.pop(key, None)

    def pace(self, principal: Principal, limits: Limits) -> None:
        """Count a question; raises RateLimitedError beyond the person's minute."""
        if not settings.NETRA_LIMITS:
            return
        with self._pacing:
            self._pace(
                self._asked[principal.organisation_id, principal.user_id],
                limits.messages_per_minute,
            )

    def _pace(self, asked: deque[float], most: int) -> None:
        now = time.monotonic()
        while asked and asked[0] <= now - MINUTE:
            asked.popleft()
        if len(asked) >= most:
            raise RateLimitedError(
                f"{most} messages a minute are allowed.",
                retry_after=round(asked[0] + MINUTE - now, 1),
                values={"limit": most},
            )
        asked.append(now)

    def tell_others(
        self,
        principal: Principal,
        kind: str,
        thread_id: UUID | None,
        origin: UUID | None,
    ) -> None:
        """Hint this person's other sockets, in every process."""
        name = topic(principal.organisation_id, "user", principal.user_id.hex)
        hub.publish(name, ThreadNotice(kind=kind, thread_id=thread_id, origin=origin))

    async def _tick_for_ever(self) -> None:
        while True:
            await asyncio.sleep(TICK_SECONDS)
            try:
                await self.tick()
            except Exception:
                log.exception(
                    "a connection tick failed",
                    extra={"action": "connections.tick_failed"},
                )

    async def tick(self) -> None:
        """Tell changes, end idle sockets, and every few seconds those whose credential is void."""
        now = time.monotonic()
        telling = now - self._told_at >= CHANGES_SECONDS
        if telling:
            self._told_at = now
        idle = []
        for connection in self.all():
            if telling and not connection.outbox.closed:
                connection.tell_changes()
            if now - connection.heard_at > connection.limits.idle_seconds:
                idle.append(connection.end(1000, IdleError()))
        await asyncio.gather(*idle)
        self._forget_paces(now - MINUTE)
        if now - self._validated_at >= VALID_SECONDS:
            self._validated_at = now
            await self._end_void()

    def _forget_paces(self, before: float) -> None:
        with self._pacing:
            for key, asked in list(self._asked.items()):
                if not asked or asked[-1] <= before:
                    del self._asked[key]

    def hear_end(self, message: object) -> None:
        """Somebody lost a way in: look at the next tick, not when its time has come."""
        if isinstance(message, AccessEnded):
            self._validated_at = 0.0

    async def _end_void(self) -> None:
        """End the sockets whose session or token no longer holds; the others get their present role."""
        connections = self.all()
        if not connections:
            return
        void: list[Connection] = []
        for held in _layers(connections):
            roles = await read(VALIDITY, partial(roles_of, held))
            for connection in connections:
                if held.get(connection.credential) != connection.place:
                    continue
                role = roles.get(connection.credential)
                if role is None:
                    void.append(connection)
                elif role != connection.principal.role:
                    connection.principal = replace(connection.principal, role=role)
        error = NotAuthenticatedError("Your session or token is no longer valid.")
        await asyncio.gather(*(c.end(CloseCode.NOT_AUTHENTICATED, error) for c in void))
        await self._note_use(sent_away=void)

    async def _note_use(self, *, sent_away: Collection[Connection]) -> None:
        """A socket that its person uses is use of the session; noted at most once a minute."""
        now = time.monotonic()
        used = [
            c
            for c in self.all()
            if c.credential.kind == "session"
            and c not in sent_away  # or it would bring its idle session back
            and c.used_at > c.noted_at
            and now - c.noted_at >= MINUTE
        ]
        if not used:
            return
        keys = {connection.credential.secret for connection in used}
        for connection in used:
            connection.noted_at = now
        await write(
            VALIDITY,
            lambda: accounts.note_session_use(session_keys=keys, now=timezone.now()),
        )


Held = dict[Credential, tuple[UUID, UUID]]


def _layers(connections: list[Connection]) -> list[Held]:
    """Credentials with the place each is used in; one layer more for each further place of one.

    A session may be open in two organisations, and lose one of them.
    """
    layers: list[Held] = []
    for connection in connections:
        credential, place = connection.credential, connection.place
        if not any(layer.setdefault(credential, place) == place for layer in layers):
            layers.append({credential: place})
    return layers


connections = Connections()
