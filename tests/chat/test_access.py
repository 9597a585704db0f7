"""From untrusted ids to one's own threads and messages; what is others' looks absent."""

from __future__ import annotations

import uuid
from collections.abc import Callable

import pytest
from django_scopes.exceptions import ScopeError

from apps.accounts.access import Principal
from apps.chat import access
from apps.core.errors import NotFoundError
from apps.core.tenancy import tenant
from tests.chat.questions import ask

pytestmark = pytest.mark.security
Look = Callable[[Principal, uuid.UUID], object]


def by_thread(who: Principal, thread_id: uuid.UUID) -> object:
    return access.thread_for(who.user_id, thread_id)


def by_title(who: Principal, thread_id: uuid.UUID) -> object:
    return access.title_for(who.organisation_id, who.user_id, thread_id)


def by_message(who: Principal, message_id: uuid.UUID) -> object:
    return access.message_for(who.user_id, message_id)


LOOKS = [
    pytest.param(by_thread, "thread_id", id="thread"),
    pytest.param(by_title, "thread_id", id="title"),
    pytest.param(by_message, "message_id", id="message"),
]


def test_one_finds_ones_own(alice_principal):
    asked = ask(alice_principal, "hi")

    with alice_principal.scope:
        assert by_thread(alice_principal, asked.thread_id).pk == asked.thread_id
        assert by_title(alice_principal, asked.thread_id) == "hi"
        assert by_message(alice_principal, asked.message_id).text == "hi"


@pytest.mark.parametrize(("look", "name"), LOOKS)
@pytest.mark.parametrize("thief", ["bob_principal", "mallory_principal"])
def test_what_is_others_and_what_is_not_there_are_refused_alike(
    alice_principal, look: Look, name: str, thief: str, request
):
    theirs = ask(alice_principal, "a secret")
    who = request.getfixturevalue(thief)

    said = []
    with who.scope:
        for found in (getattr(theirs, name), uuid.uuid4()):
            with pytest.raises(NotFoundError) as refusal:
                look(who, found)
            said.append((refusal.value.message, refusal.value.field, refusal.value.fix))

    assert said[0] == said[1]
    assert said[0][1] == name


@pytest.mark.parametrize(("look", "name"), LOOKS)
def test_the_owners_id_does_not_help_in_another_organisation(
    alice_principal, mallory_principal, look: Look, name: str
):
    theirs = ask(alice_principal)

    with mallory_principal.scope, pytest.raises((NotFoundError, RuntimeError)):
        look(alice_principal, getattr(theirs, name))


@pytest.mark.parametrize("look", [by_thread, by_message])
def test_nothing_is_found_outside_a_scope(alice_principal, look: Look):
    with pytest.raises(ScopeError):
        look(alice_principal, uuid.uuid4())


def test_a_scope_without_a_person_still_finds_only_the_named_ones(
    alice_principal, bob_principal
):
    theirs = ask(alice_principal)

    with tenant(alice_principal.organisation_id), pytest.raises(NotFoundError):
        access.thread_for(bob_principal.user_id, theirs.thread_id)
