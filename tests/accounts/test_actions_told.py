"""People, providers and organisations: every change stands in the trail, and no secret does."""

from __future__ import annotations

import pytest
from allauth.account.models import EmailAddress

from apps.accounts import actions
from apps.accounts.actions.providers import IssuerInUseError
from apps.accounts.errors import BadRoleMapError, NoWayInError
from apps.accounts.models import IdentityProvider, Organisation, User
from apps.audits import trail
from apps.audits.models import Entry
from tests.accounts.conftest import make_provider
from tests.accounts.signing import link, told
from tests.factories import TESTER, TESTS

pytestmark = pytest.mark.security
SECRET = "a client secret that nobody may read"


# -- people ----------------------------------------------------------------------------


def test_a_changed_person_is_told_in_each_of_their_organisations(acme, globex, bob):
    with TESTS:
        actions.add_member(actor=TESTER, organisation=globex, user=bob, role="viewer")
        bob.email, bob.name = "Robert@ACME.example", "Robert"
        bob.set_password("another long password")
        actions.change_person(actor=TESTER, user=bob)

    for place in (acme, globex):
        act, details = told(place.pk)[-1]
        assert act == "person_changed"
        assert details == {
            "person": "bob@acme.example",
            "email": {"before": "bob@acme.example", "after": "robert@acme.example"},
            "name": {"before": "Bob", "after": "Robert"},
            "password": "changed",
        }
    assert [a.email for a in EmailAddress.objects.filter(user=bob)] == [bob.email]


def test_a_person_whom_staff_make_has_an_address_in_the_form_that_providers_find(db):
    with TESTS:
        row = User(email="Ada@MÜNCHEN.example", name="Ada")
        actions.save_new_person(actor=TESTER, user=row)

    assert User.objects.get().email == "ada@xn--mnchen-3ya.example"


def test_powers_over_the_admin_are_told_in_the_platforms_trail(acme, bob):
    with TESTS:
        bob.is_staff = True
        actions.change_person(actor=TESTER, user=bob)
        actions.change_person(actor=TESTER, user=bob)

    assert told(trail.PLATFORM) == [
        (
            "staff_role_changed",
            {"person": bob.email, "is_staff": {"before": False, "after": True}},
        )
    ]
    assert told(acme.pk) == []


def test_an_address_that_is_taken_is_not_followed(alice, bob, acme):
    with TESTS:
        followed = actions.follow_address(
            actor=TESTER, user=bob, email="ALICE@acme.example", organisation_id=acme.pk
        )

    assert not followed
    assert told(acme.pk) == []


# -- providers and organisations -------------------------------------------------------


def test_a_provider_is_told_without_its_secret(acme):
    row = IdentityProvider(
        organisation=acme, provider_id="acme", name="Acme", issuer="https://id.acme.example",
        client_id="c", secret=SECRET,
    )  # fmt: skip
    with TESTS:
        actions.create_provider(actor=TESTER, provider=row)
        row.secret, row.default_role = SECRET + "2", "viewer"
        actions.change_provider(actor=TESTER, provider=row)
        actions.change_provider(actor=TESTER, provider=row)
        assert IdentityProvider.objects.get().secret == SECRET + "2"
        assert SECRET not in "".join(entry.body for entry in Entry.objects.all())

    (made, facts), (changed, differences) = told(acme.pk)
    assert (made, facts["issuer"]) == ("provider_created", row.issuer)
    assert (changed, differences) == (
        "provider_changed",
        {
            "provider_id": "acme",
            "secret": "changed",
            "default_role": {"before": "member", "after": "viewer"},
        },
    )


def test_a_role_map_that_makes_owners_is_refused(acme, acme_provider):
    acme_provider.role_map = {"bosses": "owner"}

    with TESTS, pytest.raises(BadRoleMapError):
        actions.change_provider(actor=TESTER, provider=acme_provider)


def test_an_issuer_changes_only_while_nobody_is_known_by_it(acme, alice, acme_provider):
    """Subject "1" of another issuer may be anybody, and would be alice."""
    with TESTS:
        acme_provider.issuer = "https://first.acme.example"
        actions.change_provider(actor=TESTER, provider=acme_provider)
        link(acme_provider, alice)
        acme_provider.issuer = "https://second.acme.example"
        with pytest.raises(IssuerInUseError) as error:
            actions.change_provider(actor=TESTER, provider=acme_provider)
        kept = IdentityProvider.objects.get()

    assert kept.issuer == "https://first.acme.example"
    assert (error.value.code, error.value.field) == ("issuer_in_use", "issuer")
    assert "another provider" in error.value.fix


def test_a_new_organisation_gets_the_tier_of_its_way_in(db):
    chosen = Organisation(slug="a", name="A", tier="enterprise")
    signed_up = Organisation(
        slug="b", name="B", tier="enterprise", signed_up_with="github"
    )
    with TESTS:
        for place in (chosen, signed_up):
            actions.create_organisation(actor=TESTER, organisation=place)

    assert (chosen.tier, signed_up.tier) == ("enterprise", "early")
    assert told(signed_up.pk)[0][1]["tier"] == "early"


def test_a_changed_organisation_is_told_with_before_and_after(acme):
    acme.tier, acme.session_hours = "mid", 4
    with TESTS:
        actions.change_organisation(actor=TESTER, organisation=acme)

    assert told(acme.pk) == [
        (
            "organisation_changed",
            {
                "slug": "acme",
                "tier": {"before": "enterprise", "after": "mid"},
                "session_hours": {"before": None, "after": 4},
            },
        )
    ]


def test_company_sign_in_is_not_enforced_where_nobody_could_sign_in(acme, alice):
    acme.sso_required = True
    with TESTS, pytest.raises(NoWayInError):
        actions.change_organisation(actor=TESTER, organisation=acme)

    row = make_provider(acme)
    with TESTS:
        IdentityProvider.objects.filter(pk=row.pk).update(enabled=False)
        with pytest.raises(NoWayInError):
            actions.change_organisation(actor=TESTER, organisation=acme)
        IdentityProvider.objects.filter(pk=row.pk).update(enabled=True)
        link(row, alice)
        actions.change_organisation(actor=TESTER, organisation=acme)

    acme.refresh_from_db()
    assert acme.sso_required


def test_a_new_organisation_cannot_begin_with_enforced_sign_in(db):
    with TESTS, pytest.raises(NoWayInError):
        actions.create_organisation(
            actor=TESTER,
            organisation=Organisation(slug="a", name="A", sso_required=True),
        )
