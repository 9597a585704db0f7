"""Who still has a way in: a live token or session, and a place where it counts."""

from __future__ import annotations

import uuid
from datetime import timedelta

import pytest
from django.contrib.sessions.models import Session
from django.utils import timezone

from apps.accounts import actions
from apps.accounts.credentials import with_a_way_in
from apps.accounts.models import Membership, Organisation, SignIn, User
from tests.doors import secret_of
from tests.factories import TESTER, TESTS, sign_in

pytestmark = pytest.mark.security


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


def test_a_session_without_its_row_is_nobodys(alice, places) -> None:
    sign_in(alice)
    SignIn.objects.all().delete()

    assert asked(places) == set()


def test_it_takes_five_queries_however_many_people_are_asked_for(
    alice, mallory, places, django_assert_max_num_queries
) -> None:
    sign_in(alice)
    sign_in(mallory)

    with django_assert_max_num_queries(5):
        assert asked(places) == set(places)
