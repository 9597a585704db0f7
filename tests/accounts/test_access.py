"""From a credential to a principal, and every way in which that must fail."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib.sessions.models import Session
from django.test import Client
from django.utils import timezone

from apps.accounts import actions
from apps.accounts.access import (
    domain_of,
    memberships_of,
    principal_for,
    principal_from_token,
    provider_for,
    provider_for_email,
    user_from_session,
)
from apps.accounts.models import Organisation, Token, User
from apps.accounts.permissions import Operation
from apps.core.errors import NotAllowedError, NotAuthenticatedError
from apps.core.tenancy import tenant
from tests.factories import PASSWORD, TESTER, TESTS, organisation, person

pytestmark = pytest.mark.security


def token_of(user, place, **values) -> str:
    with TESTS:
        return actions.create_token(
            actor=TESTER, user=user, organisation_id=place.pk, **values
        )


def test_a_member_is_a_principal_of_the_organisation(alice, acme):
    principal = principal_for(alice.pk, "acme")

    assert (principal.organisation_id, principal.role, principal.tier) == (
        acme.pk,
        "owner",
        "enterprise",
    )
    assert principal.scope == tenant(acme.pk, alice.pk)
    assert principal.plan.execution_seconds == 300
    assert principal.actor.label == "alice@acme.example"


def test_a_stranger_is_no_principal_of_it(mallory, acme):
    with pytest.raises(NotAllowedError):
        principal_for(mallory.pk, "acme")


def test_foreign_and_absent_organisations_are_refused_alike(mallory, acme):
    told = []
    for slug in ("acme", "there-is-none"):
        with pytest.raises(NotAllowedError) as error:
            principal_for(mallory.pk, slug)
        told.append((error.value.message, error.value.fix, error.value.values))

    assert told[0] == told[1]


def test_without_a_choice_the_oldest_membership_counts(alice, globex):
    with TESTS:
        actions.add_member(actor=TESTER, organisation=globex, user=alice, role="member")

    assert principal_for(alice.pk).organisation_slug == "acme"
    assert principal_for(alice.pk, "globex").role == "member"
    assert len(memberships_of(alice.pk)) == 2


def test_a_suspended_organisation_has_no_principals(alice, acme):
    Organisation.objects.filter(pk=acme.pk).update(status="suspended")

    with pytest.raises(NotAllowedError):
        principal_for(alice.pk)


def test_a_canary_has_no_principals(db):
    canary = person("canary@canary.example", organisation("canary-a", kind="canary"))

    with pytest.raises(NotAllowedError):
        principal_for(canary.pk)


def test_viewers_may_not_ask(acme, alice_principal):
    viewer = person("vera@acme.example", acme, role="viewer")

    assert not principal_for(viewer.pk).may(Operation.ASK)
    assert alice_principal.may(Operation.ASK)


def test_a_token_proves_its_owner_in_its_organisation(alice, acme):
    principal = principal_from_token(token_of(alice, acme))

    assert (principal.user_id, principal.organisation_slug) == (alice.pk, "acme")


def test_a_token_is_not_stored(alice, acme):
    secret = token_of(alice, acme)

    with TESTS:
        row = Token.objects.get()
    assert secret not in {row.digest, row.prefix}
    assert secret.startswith(row.prefix)


def test_an_unknown_token_is_refused(db):
    with pytest.raises(NotAuthenticatedError):
        principal_from_token("ntr_invented")


def test_a_revoked_token_is_refused(alice, acme):
    secret = token_of(alice, acme)
    with TESTS:
        actions.revoke_token(actor=TESTER, token=Token.objects.get())

    with pytest.raises(NotAuthenticatedError):
        principal_from_token(secret)


def test_an_expired_token_is_refused(alice, acme):
    secret = token_of(alice, acme, lifetime=timedelta(minutes=1))
    with TESTS:
        Token.objects.update(expires_at=timezone.now() - timedelta(seconds=1))

    with pytest.raises(NotAuthenticatedError):
        principal_from_token(secret)


def test_a_token_does_not_open_another_organisation(alice, acme, globex):
    with TESTS:
        actions.add_member(actor=TESTER, organisation=globex, user=alice, role="member")
    secret = token_of(alice, acme)

    with pytest.raises(NotAllowedError):
        principal_from_token(secret, "globex")


def test_a_token_dies_with_its_owners_account(alice, acme):
    secret = token_of(alice, acme)
    User.objects.filter(pk=alice.pk).update(is_active=False)

    with pytest.raises(NotAuthenticatedError):
        principal_from_token(secret)


def test_a_token_dies_with_its_owners_membership(alice, acme):
    secret = token_of(alice, acme)
    person("second@acme.example", acme, role="owner")
    with TESTS:
        actions.remove_member(actor=TESTER, membership=memberships_of(alice.pk)[0])
        actions.add_member(actor=TESTER, organisation=acme, user=alice, role="member")

    with pytest.raises(NotAuthenticatedError):
        principal_from_token(secret)


@pytest.fixture
def session(alice) -> str:
    client = Client()
    client.force_login(alice)
    return client.session.session_key


def test_a_live_session_has_its_user(session, alice):
    assert user_from_session(session) == alice


@pytest.mark.parametrize("key", [None, "", "invented"])
def test_no_session_has_no_user(db, key):
    with pytest.raises(NotAuthenticatedError):
        user_from_session(key)


def test_a_deleted_session_has_no_user(session):
    Session.objects.all().delete()

    with pytest.raises(NotAuthenticatedError):
        user_from_session(session)


def test_a_session_ends_with_the_password(session, alice):
    alice.set_password(PASSWORD + "!")
    alice.save()

    with pytest.raises(NotAuthenticatedError):
        user_from_session(session)


def test_a_session_ends_with_the_account(session, alice):
    User.objects.filter(pk=alice.pk).update(is_active=False)

    with pytest.raises(NotAuthenticatedError):
        user_from_session(session)


@pytest.mark.parametrize(
    ("email", "domain"),
    [
        ("alice@Acme.Example ", "acme.example"),
        ('"a@evil.example"@acme.example', "acme.example"),
        ("alice@acme.example@evil.example", "evil.example"),
        ("nobody", ""),
        ("@acme.example", ""),
        ("", ""),
    ],
)
def test_the_domain_stands_behind_the_last_sign(email, domain):
    assert domain_of(email) == domain


def test_a_provider_is_found_by_name_and_by_domain(acme_provider, globex_provider):
    assert provider_for("acme") == acme_provider
    assert provider_for_email("anybody@ACME.example") == acme_provider
    assert provider_for_email("x@sub.acme.example") is None
    assert provider_for_email("") is None


@pytest.mark.parametrize(
    "change",
    [
        {"enabled": False},
        {"organisation__status": "suspended"},
        {"organisation__kind": "canary"},
    ],
    ids=["disabled", "suspended", "canary"],
)
def test_a_provider_that_is_switched_off_is_not_found(acme, acme_provider, change):
    for name, value in change.items():
        row, field = (
            (acme, name.removeprefix("organisation__"))
            if "__" in name
            else (acme_provider, name)
        )
        setattr(row, field, value)
        with TESTS:
            row.save(update_fields=[field])

    assert provider_for("acme") is None
    assert provider_for_email("alice@acme.example") is None
