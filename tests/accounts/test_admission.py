"""Who may come in through a provider. Both known attacks on shared sign-in are tried here."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from apps.accounts import actions
from apps.accounts.access import memberships_of
from apps.accounts.admission import Claims
from apps.accounts.models import Identity, IdentityProvider, Membership, User
from tests.accounts.conftest import make_provider
from tests.accounts.signing import admit, claims, refused, remove, reread, suspend
from tests.factories import TESTER, TESTS, person

pytestmark = pytest.mark.security


def test_a_newcomer_becomes_a_member_with_the_default_role(acme, acme_provider):
    user = admit(acme_provider, claims("New.Person@ACME.example", name="New Person"))

    assert (user.email, user.name) == ("new.person@acme.example", "New Person")
    assert not user.has_usable_password()
    assert not user.is_staff
    assert [(m.organisation, m.role) for m in memberships_of(user.pk)] == [
        (acme, "member")
    ]


def test_a_newcomer_gets_the_role_that_the_provider_gives(acme):
    row = make_provider(acme, default_role="viewer")

    assert memberships_of(admit(row, claims()).pk)[0].role == "viewer"


def test_the_same_subject_is_the_same_person_whatever_the_address(acme_provider):
    first = admit(acme_provider, claims("old@acme.example"))
    again = admit(acme_provider, claims("renamed@acme.example"))

    assert again == first
    with TESTS:
        assert Identity.objects.get().email == "renamed@acme.example"


def test_each_sign_in_is_remembered(acme_provider):
    now = timezone.now()
    admit(acme_provider, claims(), now=now)
    admit(acme_provider, claims(), now=now + timedelta(hours=1))

    with TESTS:
        identity = Identity.objects.get()
    assert (identity.linked_at, identity.last_used_at) == (
        now,
        now + timedelta(hours=1),
    )


def test_a_member_with_a_password_is_linked(alice, acme_provider):
    assert admit(acme_provider, claims()) == alice

    with TESTS:
        assert Identity.objects.get().user == alice
    assert memberships_of(alice.pk)[0].role == "owner"


def test_attack_another_customer_asserts_an_existing_address(
    alice, acme_provider, globex_provider
):
    """With stock settings that allow sign-in by address, the stranger *is* alice."""
    assert (
        refused(globex_provider, claims("alice@acme.example", sub="evil"))
        == "own_domain"
    )


def test_attack_another_customer_asserts_an_address_first(
    acme, acme_provider, globex_provider
):
    """With stock settings the stranger takes the address before alice comes, and keeps it."""
    assert (
        refused(globex_provider, claims("alice@acme.example", sub="evil"))
        == "own_domain"
    )

    alice = admit(acme_provider, claims("alice@acme.example"))
    assert [m.organisation for m in memberships_of(alice.pk)] == [acme]


@pytest.mark.parametrize(
    "email",
    [
        "alice@acme.example.evil.example",
        "alice@sub.acme.example",
        "alice@acme.example@globex.example",
        "alice@xacme.example",
        "alice@acme.exampl\u0435",  # the last letter is Cyrillic
        "acme.example",
    ],
)
def test_a_provider_speaks_for_exactly_one_domain(acme_provider, email):
    assert refused(acme_provider, claims(email)) == "own_domain"


def test_one_foreign_address_among_several_is_enough_to_refuse(acme_provider):
    said = Claims(sub="s-1", emails=("new@acme.example", "mallory@globex.example"))

    assert refused(acme_provider, said) == "own_domain"


@pytest.mark.parametrize(
    "said", [Claims(sub="s", emails=()), claims(sub=""), claims(sub="x" * 192)]
)
def test_incomplete_claims_are_refused(acme_provider, said):
    assert refused(acme_provider, said) == "claims_present"


def test_an_address_that_the_provider_calls_unverified_is_refused(alice, acme_provider):
    assert refused(acme_provider, claims(unverified=True)) == "verified_address"


def test_a_member_of_another_organisation_is_not_taken_over(globex, acme_provider):
    person("shared@acme.example", globex)

    assert refused(acme_provider, claims("shared@acme.example")) == "same_organisation"


def test_an_account_without_organisation_is_not_taken_over(acme_provider):
    User.objects.create_user("loose@acme.example", "correct horse battery")

    assert refused(acme_provider, claims("LOOSE@acme.example")) == "same_organisation"


def test_a_second_subject_with_a_known_address_is_another_person(alice, acme_provider):
    admit(acme_provider, claims(sub="first"))

    assert refused(acme_provider, claims(sub="second")) == "one_person_per_address"


def test_a_suspended_identity_stays_out(alice, acme_provider):
    admit(acme_provider, claims())
    with TESTS:
        actions.set_identity_status(
            actor=TESTER, identity=Identity.objects.get(), status="suspended"
        )

    assert refused(acme_provider, claims()) == "identity_active"


def test_a_removed_member_does_not_come_back_by_signing_in(bob, acme_provider):
    admit(acme_provider, claims(bob.email))
    remove(bob)

    assert refused(acme_provider, claims(bob.email)) == "still_a_member"
    assert refused(acme_provider, claims(bob.email, sub="s-2")) == "same_organisation"


def test_who_is_added_again_may_sign_in_again(acme, bob, acme_provider):
    admit(acme_provider, claims(bob.email))
    remove(bob)
    with TESTS:
        actions.add_member(actor=TESTER, organisation=acme, user=bob, role="viewer")

    assert admit(acme_provider, claims(bob.email)) == bob
    assert memberships_of(bob.pk)[0].role == "viewer"


def test_being_added_again_lifts_no_suspension_by_hand(acme, bob, acme_provider):
    admit(acme_provider, claims(bob.email))
    suspend(bob)
    remove(bob)
    with TESTS:
        actions.add_member(actor=TESTER, organisation=acme, user=bob, role="member")

    assert refused(acme_provider, claims(bob.email)) == "identity_active"


def test_a_known_person_without_a_place_gets_one_only_where_the_provider_makes_members(
    acme, bob, acme_provider
):
    admit(acme_provider, claims(bob.email))
    with TESTS:
        Membership.objects.filter(user=bob).delete()
        IdentityProvider.objects.update(creates_members=False)
    row = reread(acme_provider)
    assert refused(row, claims(bob.email)) == "invited"
    with TESTS:
        IdentityProvider.objects.update(creates_members=True)

    assert admit(reread(acme_provider), claims(bob.email)) == bob
    assert [m.organisation for m in memberships_of(bob.pk)] == [acme]


def test_a_closed_account_stays_out(alice, acme_provider):
    User.objects.filter(pk=alice.pk).update(is_active=False)

    assert refused(acme_provider, claims()) == "active_account"


def test_staff_never_come_through_a_customer(acme, acme_provider):
    person("helper@acme.example", acme, is_staff=True)

    assert refused(acme_provider, claims("helper@acme.example")) == "staff_elsewhere"


def test_a_known_person_who_became_staff_stays_out_too(alice, acme_provider):
    admit(acme_provider, claims())
    User.objects.filter(pk=alice.pk).update(is_staff=True)

    assert refused(acme_provider, claims()) == "staff_elsewhere"


def test_staff_come_through_the_platforms_own_provider(support, netra):
    assert admit(make_provider(netra), claims("support@netra.example")) == support


def test_without_invitation_a_closed_provider_admits_nobody_new(acme, alice):
    row = make_provider(acme, creates_members=False)

    assert refused(row, claims("new@acme.example")) == "invited"
    assert admit(row, claims("alice@acme.example")) == alice


def test_no_provider_makes_staff(acme_provider):
    user = admit(acme_provider, claims("new@acme.example", name="x" * 500))

    assert (user.is_staff, user.is_superuser, len(user.name)) == (False, False, 150)
