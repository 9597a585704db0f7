"""Who still has a way in: a live token or session, and a place where it counts."""

from __future__ import annotations

import uuid
from datetime import timedelta

import pytest
from django.contrib.auth import HASH_SESSION_KEY, SESSION_KEY
from django.contrib.sessions.backends.db import SessionStore
from django.contrib.sessions.models import Session
from django.utils import timezone

from apps.accounts import actions
from apps.accounts.credentials import with_a_way_in
from apps.accounts.models import Membership, Organisation, User
from tests.doors import secret_of
from tests.factories import TESTER, TESTS

pytestmark = pytest.mark.security


def sign_in(user: User) -> None:
    session = SessionStore()
    session[SESSION_KEY] = str(user.pk)
    session[HASH_SESSION_KEY] = user.get_session_auth_hash()
    session.save()


@pytest.fixture
def places(alice_principal, mallory_principal) -> list[tuple[uuid.UUID, uuid.UUID]]:
    people = (alice_principal, mallory_principal)
    return [(who.organisation_id, who.user_id) for who in people]


def asked(places) -> set[tuple[uuid.UUID, uuid.UUID]]:
    with TESTS:
        return with_a_way_in(places)


def test_nobody_has_one_without_a_session_or_token(places) -> None:
    assert asked(places) == set()


def test_a_session_counts_wherever_its_owner_belongs(alice, globex, places) -> None:
    with TESTS:
        actions.add_member(actor=TESTER, organisation=globex, user=alice, role="member")
    sign_in(alice)
    everywhere = {places[0], (globex.pk, alice.pk)}

    assert asked([*places, (globex.pk, alice.pk)]) == everywhere


def test_a_token_counts_in_its_own_organisation_only(
    alice, alice_principal, globex, places
) -> None:
    with TESTS:
        actions.add_member(actor=TESTER, organisation=globex, user=alice, role="member")
    secret_of(alice_principal)

    assert asked([*places, (globex.pk, alice.pk)]) == {places[0]}


@pytest.mark.parametrize("lost", ["membership", "account", "organisation", "session"])
def test_each_of_them_may_end_it(alice, acme, places, lost: str) -> None:
    sign_in(alice)
    assert asked(places) == {places[0]}

    with TESTS:
        if lost == "membership":
            Membership.objects.filter(user=alice).delete()
        elif lost == "account":
            User.objects.filter(pk=alice.pk).update(is_active=False)
        elif lost == "organisation":
            Organisation.objects.filter(pk=acme.pk).update(status="suspended")
        else:
            Session.objects.update(expire_date=timezone.now() - timedelta(seconds=1))

    assert asked(places) == set()


def test_a_session_under_an_older_password_is_none(alice, places) -> None:
    sign_in(alice)
    alice.set_password("another one")
    alice.save()

    assert asked(places) == set()


def test_sessions_that_cannot_be_read_are_nobodys(alice, places) -> None:
    later = timezone.now() + timedelta(days=1)
    Session.objects.create(session_key="odd", session_data="?", expire_date=later)
    sign_in(alice)

    assert asked(places) == {places[0]}


def test_it_takes_five_queries_however_many_people_are_asked_for(
    alice, mallory, places, django_assert_max_num_queries
) -> None:
    sign_in(alice)
    sign_in(mallory)

    with django_assert_max_num_queries(5):
        assert asked(places) == set(places)
