"""Each constraint of accounts, broken on purpose."""

from __future__ import annotations

import pytest
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from apps.accounts.models import (
    Domain,
    Identity,
    IdentityProvider,
    Membership,
    Organisation,
    Token,
    User,
)
from tests import factories
from tests.accounts.conftest import make_provider
from tests.factories import TESTS, organisation


def refused(name: str):
    """The database refuses, naming that constraint (SQLite names columns of unique ones)."""
    return pytest.raises(IntegrityError, match=name)


def test_an_address_belongs_to_one_person_in_any_case(alice):
    with refused("email"), transaction.atomic():
        User.objects.bulk_create([User(email="ALICE@acme.example")])


def test_an_account_has_an_address(db):
    with refused("accounts_user_email_present"), transaction.atomic():
        User.objects.bulk_create([User(email="")])


@pytest.mark.parametrize(
    ("field", "constraint"),
    [
        ("tier", "accounts_organisation_tier_known"),
        ("kind", "accounts_organisation_kind_known"),
        ("status", "accounts_organisation_status_known"),
    ],
)
def test_an_organisation_has_known_attributes_only(acme, field, constraint):
    with refused(constraint), transaction.atomic():
        Organisation.objects.filter(pk=acme.pk).update(**{field: "invented"})


def test_there_is_one_platform_organisation(netra):
    with refused("kind|accounts_organisation_one_platform"), transaction.atomic():
        organisation("second", tier="platform", kind="platform")


def test_a_person_is_a_member_once(alice, acme):
    with TESTS, refused("organisation_id|once_per_person"), transaction.atomic():
        Membership.objects.create(organisation=acme, user=alice, role="viewer")


def test_a_role_is_a_known_one(alice, acme):
    with TESTS, refused("accounts_membership_role_known"), transaction.atomic():
        Membership.objects.filter(user=alice).update(role="emperor")


def test_a_provider_never_makes_owners(acme_provider):
    with TESTS, refused("accounts_provider_never_makes_owners"), transaction.atomic():
        IdentityProvider.objects.filter(pk=acme_provider.pk).update(
            default_role="owner"
        )


def test_a_provider_is_entered_once(acme, acme_provider):
    with refused("issuer|once_per_issuer"), transaction.atomic():
        make_provider(acme, provider_id="again", client_id=acme_provider.client_id)


def test_a_providers_name_is_its_own(globex, acme_provider):
    with refused("provider_id"), transaction.atomic():
        make_provider(globex, provider_id=acme_provider.provider_id)


@pytest.mark.security
def test_a_domain_is_proved_by_one_organisation_only(acme, globex):
    factories.domain(acme)
    factories.domain(globex, "acme.example", proved_at=None, checked_at=None)

    told = "domain_proved_by_one|accounts_domain.domain"
    with TESTS, refused(told), transaction.atomic():
        Domain.objects.filter(organisation=globex).update(proved_at=timezone.now())


@pytest.mark.security
def test_a_providers_secret_is_not_readable_in_the_table(acme_provider):
    with TESTS, connection.cursor() as cursor:
        cursor.execute("SELECT secret FROM accounts_identityprovider")
        stored = cursor.fetchone()[0]

    assert "never to be shown" not in stored
    with TESTS:
        assert IdentityProvider.objects.get().secret == "never to be shown"


def identity(provider, user, **values):
    given = {"sub": "s-1", "email": user.email, "linked_at": timezone.now()}
    return Identity.objects.create(
        organisation_id=provider.organisation_id,
        provider=provider,
        user=user,
        **(given | values),
    )


def test_a_subject_is_one_person(acme_provider, alice, bob):
    with TESTS:
        identity(acme_provider, alice)
        with refused("sub"), transaction.atomic():
            identity(acme_provider, bob)


def test_a_subject_is_not_empty(acme_provider, alice):
    with TESTS, refused("accounts_identity_sub_present"), transaction.atomic():
        identity(acme_provider, alice, sub="")


def test_an_identity_has_a_known_status(acme_provider, alice):
    with TESTS, refused("accounts_identity_status_known"), transaction.atomic():
        identity(acme_provider, alice, status="odd")


def test_a_token_keeps_a_digest(acme, alice):
    with TESTS, refused("accounts_token_digest_present"), transaction.atomic():
        Token.objects.create(
            organisation=acme, user=alice, digest="", created_at=timezone.now()
        )


def test_names_are_short_or_full(alice):
    alice.name = "Alice Archer"

    assert (alice.get_full_name(), alice.get_short_name()) == ("Alice Archer", "Alice")
    assert User(email="x@acme.example").get_short_name() == "x@acme.example"
