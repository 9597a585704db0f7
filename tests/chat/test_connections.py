"""Open sockets end when what let them in no longer holds, each for its own place."""

from __future__ import annotations

import uuid
from dataclasses import replace

import pytest
from django.contrib.sessions.backends.db import SessionStore

from apps.accounts import actions as accounts
from apps.accounts.access import Principal
from apps.accounts.credentials import Credential
from apps.accounts.models import Membership
from apps.chat.connections import Connection, Connections, ThreadNotice
from apps.chat.limits import Limits
from apps.chat.outbox import Outbox
from apps.core.actors import Actor
from apps.core.errors import NetraError, RateLimitedError
from tests.chat.questions import aside
from tests.factories import TESTS

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
    session = SessionStore()
    session["_auth_user_id"] = str(who.user_id)
    session.save()
    return Credential("session", session.session_key)


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
