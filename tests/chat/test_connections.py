"""Open sockets end when what let them in no longer holds, each for its own place."""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import replace
from datetime import timedelta

import pytest
from django.utils import timezone

from apps.accounts import actions as accounts
from apps.accounts.access import Principal
from apps.accounts.credentials import Credential
from apps.accounts.events import EndOfAccess
from apps.accounts.models import Membership, Organisation, SignIn, User
from apps.accounts.permissions import Operation
from apps.chat.connections import Connection, Connections, ThreadNotice
from apps.chat.consumers import ChatConsumer
from apps.chat.limits import Limits
from apps.chat.outbox import Outbox
from apps.chat.router import router
from apps.core.actors import Actor
from apps.core.database import write_now
from apps.core.errors import NetraError, RateLimitedError
from tests.chat.questions import aside
from tests.doors import secret_of
from tests.factories import TESTS, sign_in

LIMITS = Limits(
    text_max=1, messages_per_minute=2, connections=2, idle_seconds=10, window=None
)
TESTER = Actor.system("tests")


def connect(
    to: Connections, who: Principal, credential: Credential, ended: list
) -> Connection:
    async def end(code: int, error: NetraError) -> None:
        ended.append((connection.id, int(code), error.code))

    async def send(frame: str) -> None:
        raise AssertionError("nothing is sent here")

    connection = Connection(
        principal=who,
        credential=credential,
        limits=LIMITS,
        outbox=Outbox(send),
        end=end,
    )
    to.add(connection)
    return connection


def session_of(who: Principal) -> Credential:
    row = sign_in(User.objects.get(pk=who.user_id))
    return Credential("session", row.session_key)


@pytest.mark.security
@pytest.mark.regression
@pytest.mark.parametrize("lost", ["acme", "globex"])
async def test_one_session_in_two_organisations_loses_only_the_one_it_lost(
    committed, alice_principal, alice, globex, lost: str
):
    def prepare() -> tuple[Credential, Principal]:
        with TESTS:
            accounts.add_member(
                actor=TESTER, organisation=globex, user=alice, role="member"
            )
        other = replace(
            alice_principal, organisation_id=globex.pk, organisation_slug="globex"
        )
        credential = session_of(alice_principal)
        with TESTS:
            Membership.objects.filter(user=alice, organisation__slug=lost).delete()
        return credential, other

    credential, other = await aside(prepare)
    ended: list = []
    connections = Connections()
    opened = {
        "acme": connect(connections, alice_principal, credential, ended),
        "globex": connect(connections, other, credential, ended),
    }

    await connections._end_void()

    assert ended == [(opened[lost].id, 4401, "not_authenticated")]
    for connection in opened.values():
        connections.remove(connection)


async def test_a_silent_socket_is_ended_and_the_others_are_not(
    committed, alice_principal
):
    ended: list = []
    connections = Connections()
    connections._validated_at = float("inf")
    credential = Credential("token", "t")
    silent = connect(connections, alice_principal, credential, ended)
    lively = connect(connections, alice_principal, credential, ended)
    silent.heard_at -= 11

    await connections.tick()

    assert ended == [(silent.id, 1000, "idle")]
    for connection in (silent, lively):
        connections.remove(connection)


def test_a_person_has_so_many_sockets_and_no_more(alice_principal, bob_principal):
    connections, credential = Connections(), Credential("token", "t")
    one = connect(connections, alice_principal, credential, [])
    assert not connections.full(alice_principal, LIMITS)
    two = connect(connections, alice_principal, credential, [])

    assert connections.full(alice_principal, LIMITS)
    assert not connections.full(bob_principal, LIMITS)
    connections.remove(one)
    connections.remove(one)  # twice is once
    assert not connections.full(alice_principal, LIMITS)
    connections.remove(two)
    assert connections.all() == []


def test_a_minute_takes_so_many_questions(alice_principal, bob_principal):
    connections = Connections()
    for _ in range(2):
        connections.pace(alice_principal, LIMITS)

    with pytest.raises(RateLimitedError) as refusal:
        connections.pace(alice_principal, LIMITS)

    assert 0 < (refusal.value.retry_after or 0) <= 60
    connections.pace(bob_principal, LIMITS)


def test_a_change_is_told_once_and_never_to_its_origin(alice_principal):
    connections, credential = Connections(), Credential("token", "t")
    connection = connect(connections, alice_principal, credential, [])
    thread_id = uuid.uuid4()

    for origin in (connection.id, uuid.uuid4(), uuid.uuid4()):
        connection.notice(
            ThreadNotice(kind="thread_changed", thread_id=thread_id, origin=origin)
        )
    connection.tell_changes()
    connection.tell_changes()

    ((frame, _, _),) = connection.outbox._frames
    assert str(thread_id) in frame
    connections.remove(connection)


# -- what happens to the session behind a socket ----------------------------------------


def own_row(credential: Credential) -> SignIn:
    return SignIn.objects.get(session_key=credential.secret)


VOID = {
    "ended": lambda c: accounts.end_sign_ins(
        actor=TESTER, rows=[own_row(c)], why=EndOfAccess.SESSION_ENDED
    ),
    "idle": lambda c: SignIn.objects.update(seen_at=timezone.now() - timedelta(hours=1)),
    "expired": lambda c: SignIn.objects.update(
        signed_in_at=timezone.now() - timedelta(hours=13)
    ),
    "another password": lambda c: User.objects.update(password="another"),
    "no row": lambda c: SignIn.objects.all().delete(),
    "company sign-in enforced": lambda c: Organisation.objects.update(
        sso_required=True
    ),
    "closed account": lambda c: User.objects.update(is_active=False),
    "staff without a second factor": lambda c: User.objects.update(is_staff=True),
}  # fmt: skip


@pytest.mark.security
@pytest.mark.parametrize("what", VOID)
async def test_a_socket_ends_with_its_session(
    committed, alice_principal, what: str, settings
):
    settings.NETRA_DEMO = False  # whose staff have passwords only

    def prepare() -> Credential:
        return session_of(alice_principal)

    credential = await aside(prepare)
    ended: list = []
    connections = Connections()
    connection = connect(connections, alice_principal, credential, ended)
    await connections._end_void()
    assert ended == []

    def void() -> None:
        with TESTS:
            VOID[what](credential)

    await aside(void)
    await connections._end_void()

    assert ended == [(connection.id, 4401, "not_authenticated")]
    connections.remove(connection)


@pytest.mark.security
async def test_a_changed_role_reaches_open_sockets(committed, alice_principal):
    credential = await aside(lambda: session_of(alice_principal))
    connections = Connections()
    connection = connect(connections, alice_principal, credential, [])
    assert connection.principal.may(Operation.ASK)

    def lower() -> None:
        with TESTS:
            Membership.objects.update(role="viewer")

    await aside(lower)
    await connections._end_void()

    assert connection.principal.role == "viewer"
    assert not connection.principal.may(Operation.ASK)
    connections.remove(connection)


@pytest.mark.security
async def test_an_end_that_is_told_is_looked_at_with_the_next_tick(
    committed, alice_principal, live_hub
):
    ended: list = []
    connections = Connections()
    connections.start()
    credential = await aside(lambda: session_of(alice_principal))
    connection = connect(connections, alice_principal, credential, ended)
    connections._validated_at = float("inf")  # its own time never comes

    def end() -> None:
        def unit() -> None:
            accounts.end_sign_ins(
                actor=TESTER,
                rows=[own_row(credential)],
                why=EndOfAccess.SESSION_ENDED,
            )

        write_now(TESTS, unit)

    await aside(end)
    async with asyncio.timeout(10):
        while not ended:  # noqa: ASYNC110 - a list rings no bell
            await asyncio.sleep(0.02)

    assert ended == [(connection.id, 4401, "not_authenticated")]
    connections.remove(connection)
    await connections.stop()


async def test_use_by_a_person_is_use_of_the_session_and_a_ping_is_not(
    committed, alice_principal
):
    def prepare() -> Credential:
        credential = session_of(alice_principal)
        SignIn.objects.update(seen_at=timezone.now() - timedelta(minutes=20))
        return credential

    credential = await aside(prepare)
    before = await aside(lambda: own_row(credential).seen_at)
    connections = Connections()
    connection = connect(connections, alice_principal, credential, [])
    connection.noted_at -= 61
    connection.used_at = connection.noted_at

    await router.route(connection, '{"type": "ping", "data": {}}')
    await connections._end_void()
    assert await aside(lambda: own_row(credential).seen_at) == before

    await router.route(connection, '{"type": "typing", "data": {}}')
    await connections._end_void()
    after = await aside(lambda: own_row(credential).seen_at)
    assert after > before
    await router.route(connection, '{"type": "typing", "data": {}}')
    await connections._end_void()
    assert await aside(lambda: own_row(credential).seen_at) == after, "once a minute"
    connections.remove(connection)


@pytest.mark.regression
async def test_a_socket_that_is_sent_away_does_not_bring_its_session_back(
    committed, alice_principal
):
    def prepare() -> Credential:
        credential = session_of(alice_principal)
        SignIn.objects.update(seen_at=timezone.now() - timedelta(hours=1))
        return credential

    credential = await aside(prepare)
    ended: list = []
    connections = Connections()
    connection = connect(connections, alice_principal, credential, ended)
    connection.noted_at -= 61
    connection.used_at = connection.noted_at + 60

    await connections._end_void()
    await connections._end_void()

    assert [code for _, code, _ in ended] == [4401, 4401]
    connections.remove(connection)


@pytest.mark.security
@pytest.mark.regression
async def test_what_comes_after_the_end_is_not_done(
    committed, alice_principal, monkeypatch
):
    secret = await aside(lambda: secret_of(alice_principal))
    done: list = []
    frames: asyncio.Queue = asyncio.Queue()
    frames.put_nowait({"type": "websocket.connect"})

    async def route(connection: Connection, _: object) -> None:
        done.append(connection.id)

    async def send(_: dict) -> None:
        return

    monkeypatch.setattr(router, "route", route)
    consumer = ChatConsumer()
    headers = {"authorization": f"Bearer {secret}", "host": "127.0.0.1:8000"}
    serving = asyncio.create_task(consumer(scope_of(headers), frames.get, send))
    async with asyncio.timeout(20):
        while consumer.connection is None:  # noqa: ASYNC110 - nothing rings
            await asyncio.sleep(0.01)
        frames.put_nowait({"type": "websocket.receive", "text": "{}"})
        while not done:  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.01)

        await consumer._end(4401, NetraError("void"))
        frames.put_nowait({"type": "websocket.receive", "text": "{}"})
        await serving

    assert len(done) == 1


# -- at the door ------------------------------------------------------------------------


def scope_of(headers: dict[str, str]) -> dict:
    return {
        "type": "websocket",
        "headers": [(k.encode(), v.encode()) for k, v in headers.items()],
        "subprotocols": [],
        "query_string": b"",
    }


async def knock(headers: dict[str, str]) -> list[dict]:
    """What a socket that only connects is sent."""
    sent: list[dict] = []
    frames = [{"type": "websocket.connect"}, {"type": "websocket.disconnect"}]

    async def receive() -> dict:
        return frames.pop(0)

    async def send(message: dict) -> None:
        sent.append(message)

    await ChatConsumer()(scope_of(headers), receive, send)
    return sent


@pytest.mark.security
@pytest.mark.parametrize(
    ("scopes", "opens"), [([], True), (["chat"], True), (["usage:read"], False)]
)
async def test_a_limited_token_opens_a_socket_only_where_it_is_for_the_chat(
    committed, alice_principal, alice, scopes, opens
):
    def make() -> str:
        return write_now(
            alice_principal.scope,
            lambda: accounts.create_token(
                actor=TESTER,
                user=alice,
                organisation_id=alice_principal.organisation_id,
                scopes=scopes,
            ),
        )

    secret = await aside(make)

    sent = await knock({"authorization": f"Bearer {secret}", "host": "127.0.0.1:8000"})

    refused = [m["code"] for m in sent if m["type"] == "websocket.close"]
    assert refused == ([] if opens else [4403])
