"""What a sign-in brings up to date: domains that speak, roles that follow, addresses, what is told."""

from __future__ import annotations

import pytest
from django.utils import timezone

from apps.accounts import actions
from apps.accounts.access import memberships_of
from apps.accounts.models import (
    DirectoryGroup,
    DirectoryMember,
    DirectoryUser,
    Domain,
    IdentityProvider,
    User,
)
from tests.accounts.conftest import make_provider
from tests.accounts.signing import admit, claims, refused, told
from tests.factories import TESTER, TESTS, domain

pytestmark = pytest.mark.security


# -- domains ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "email",
    ["x@MÜNCHEN.example", "x@xn--mnchen-3ya.example", "x@mu\u0308nchen.example"],
)
def test_domains_are_compared_in_punycode(acme, acme_provider, email):
    domain(acme, "xn--mnchen-3ya.example")

    user = admit(acme_provider, claims(email))

    assert user.email == "x@xn--mnchen-3ya.example"


@pytest.mark.parametrize(
    "values", [{"proved_at": None}, {"suspended_at": timezone.now()}]
)
def test_a_claimed_or_suspended_domain_speaks_for_nobody(acme, alice, values):
    domain(acme, **values)
    row = make_provider(acme)

    assert refused(row, claims()) == "own_domain"


def test_of_two_domains_of_a_company_each_counts(acme, acme_provider):
    domain(acme, "acme.test")

    assert admit(acme_provider, claims("new@acme.test")).email == "new@acme.test"


# -- roles -----------------------------------------------------------------------------

MAP = {"netra-admins": "admin", "netra-people": "member", "netra-readers": "viewer"}


@pytest.fixture
def mapping_provider(acme) -> IdentityProvider:
    return make_provider(acme, role_claim="groups", role_map=MAP, default_role="viewer")


def role_of(user: User) -> str:
    return memberships_of(user.pk)[0].role


@pytest.mark.parametrize(
    ("groups", "role"),
    [
        (["netra-people", "netra-admins"], "admin"),
        (["netra-readers", "netra-people"], "member"),
        (["another"], "viewer"),
        ([], "viewer"),
        (None, "viewer"),
    ],
)
def test_the_highest_mapped_role_counts(mapping_provider, groups, role):
    said = claims("new@acme.example", attributes={"groups": groups})

    assert role_of(admit(mapping_provider, said)) == role


def test_no_map_makes_an_owner(acme):
    row = make_provider(
        acme, role_claim="groups", role_map={"bosses": "owner"}, default_role="viewer"
    )

    said = claims("new@acme.example", attributes={"groups": ["bosses"]})

    assert role_of(admit(row, said)) == "viewer"


def test_roles_follow_the_provider_at_the_next_sign_in(acme, mapping_provider):
    said = claims("new@acme.example", attributes={"groups": ["netra-admins"]})
    user = admit(mapping_provider, said)

    admit(mapping_provider, claims("new@acme.example"))

    assert role_of(user) == "viewer"
    assert told(acme.pk)[-1] == (
        "role_changed",
        {"person": user.email, "role": {"before": "admin", "after": "viewer"}},
    )


def test_owners_made_by_hand_are_left_alone(alice, mapping_provider):
    admit(mapping_provider, claims(attributes={"groups": ["netra-readers"]}))

    assert role_of(alice) == "owner"


def test_without_a_map_roles_given_by_hand_stay(acme, bob, acme_provider):
    with TESTS:
        actions.change_role(
            actor=TESTER, membership=memberships_of(bob.pk)[0], role="admin"
        )

    admit(acme_provider, claims(bob.email, attributes={"groups": ["netra-readers"]}))

    assert role_of(bob) == "admin"


def test_what_the_directorys_groups_give_is_not_taken_away(acme, bob, mapping_provider):
    now = timezone.now()
    times = {"organisation": acme, "created_at": now, "changed_at": now}
    with TESTS:
        entry = DirectoryUser.objects.create(user=bob, user_name=bob.email, **times)
        group = DirectoryGroup.objects.create(name="Admins", role="admin", **times)
        DirectoryMember.objects.create(organisation=acme, group=group, person=entry)

    admit(mapping_provider, claims(bob.email))

    assert role_of(bob) == "admin"


# -- addresses -------------------------------------------------------------------------


def test_a_changed_address_is_followed_inside_the_companys_domains(
    acme, bob, acme_provider
):
    domain(acme, "acme.test")
    admit(acme_provider, claims(bob.email))

    assert admit(acme_provider, claims("robert@acme.test")) == bob

    bob.refresh_from_db()
    assert bob.email == "robert@acme.test"
    changed = {"before": "bob@acme.example", "after": "robert@acme.test"}
    assert ("person_changed", {"person": "bob@acme.example", "email": changed}) in told(
        acme.pk
    )


def test_a_changed_address_that_is_taken_is_not_followed(alice, bob, acme_provider):
    admit(acme_provider, claims(bob.email))

    assert admit(acme_provider, claims(alice.email)) == bob

    bob.refresh_from_db()
    assert bob.email == "bob@acme.example"


def test_an_account_of_another_companys_domain_keeps_its_address(
    acme, mallory, acme_provider
):
    """Else a company where somebody is a guest could rename, and so take, their account."""
    with TESTS:
        actions.add_member(actor=TESTER, organisation=acme, user=mallory, role="viewer")
        actions.link_identity(
            actor=TESTER, provider=acme_provider, user=mallory, sub="s-1", email="m@acme.example"
        )  # fmt: skip

    assert admit(acme_provider, claims("guest@acme.example")) == mallory

    mallory.refresh_from_db()
    assert mallory.email == "mallory@globex.example"


# -- the trail -------------------------------------------------------------------------


def test_a_first_sign_in_is_told_in_the_organisations_trail(acme, acme_provider):
    user = admit(acme_provider, claims("new@acme.example"))

    assert [act for act, _ in told(acme.pk)] == [
        "person_created",
        "member_added",
        "identity_linked",
    ]
    assert told(acme.pk)[1][1] == {"person": user.email, "role": "member"}


def test_a_second_sign_in_adds_nothing_to_what_was_told_of_the_first(
    acme, acme_provider
):
    admit(acme_provider, claims("new@acme.example"))
    before = told(acme.pk)

    admit(acme_provider, claims("new@acme.example"))

    assert told(acme.pk) == before


def test_a_released_domain_keeps_its_people_out(acme, bob, acme_provider):
    admit(acme_provider, claims(bob.email))
    with TESTS:
        actions.release_domain(actor=TESTER, domain=Domain.objects.get())

    assert refused(acme_provider, claims(bob.email)) == "own_domain"
