"""The admin of people and sign-in: every write is an action, every refusal a sentence, all of it told."""

from __future__ import annotations

import json

import pytest
from allauth.socialaccount.models import SocialAccount

from apps.accounts.access import memberships_of
from apps.accounts.models import Identity, IdentityProvider, Organisation, User
from apps.audits import trail
from tests.accounts.signing import link, told_by
from tests.factories import PASSWORD, TESTS, person
from tests.staff import staff

pytestmark = pytest.mark.security
A = "/admin/accounts/"


@pytest.fixture
def operator(netra) -> User:
    user = person("admin@netra.example", netra, is_staff=True)
    User.objects.filter(pk=user.pk).update(is_superuser=True)
    return user


@pytest.fixture
def admin_client(client, operator):
    client.force_login(operator)
    return client


def page_of(client, url: str) -> str:
    response = client.get(url)
    assert response.status_code == 200
    return response.content.decode()


# -- the last owner, in the admin -------------------------------------------------------


def test_the_admin_explains_why_the_last_owner_stays(admin_client, alice):
    place = memberships_of(alice.pk)[0]
    url = f"{A}membership/{place.pk}/"

    answers = [
        admin_client.post(url + "change/", {"role": "viewer"}, follow=True),
        admin_client.post(url + "delete/", {"post": "yes"}, follow=True),
        admin_client.post(
            f"{A}membership/",
            {"action": "remove", "_selected_action": [str(place.pk)]},
            follow=True,
        ),
        admin_client.post(
            f"{A}user/{alice.pk}/change/",
            {"email": alice.email, "name": "Alice"},
            follow=True,
        ),
    ]

    for answer in answers:
        assert "would be left without an owner" in answer.content.decode()
    alice.refresh_from_db()
    assert alice.is_active
    assert memberships_of(alice.pk)[0].role == "owner"


def test_members_are_removed_from_the_list_through_the_action(admin_client, acme, bob):
    place = memberships_of(bob.pk)[0]

    admin_client.post(
        f"{A}membership/", {"action": "remove", "_selected_action": [str(place.pk)]}
    )

    assert memberships_of(bob.pk) == []
    assert told_by(acme.pk)[-1][0] == "member_removed"


def test_djangos_own_deletion_is_offered_nowhere(admin_client, alice, acme_provider):
    for model in ("membership", "user", "organisation", "identityprovider", "domain"):
        assert "delete_selected" not in page_of(admin_client, f"{A}{model}/")
    assert admin_client.get(f"{A}user/{alice.pk}/delete/").status_code == 403


# -- people, providers, organisations: told ----------------------------------------------


def test_a_person_made_and_changed_in_the_admin_is_told_by(admin_client, acme, bob):
    admin_client.post(
        f"{A}user/add/",
        {
            "email": "new@acme.example", "name": "New", "usable_password": "true",
            "password1": PASSWORD, "password2": PASSWORD,
        },
    )  # fmt: skip
    admin_client.post(
        f"{A}user/{bob.pk}/change/",
        {"email": bob.email, "name": "Robert", "is_active": "on", "is_staff": "on"},
    )
    admin_client.post(
        f"{A}user/{bob.pk}/password/",
        {"usable_password": "true", "password1": PASSWORD + "!", "password2": PASSWORD + "!"},
    )  # fmt: skip

    assert User.objects.filter(email="new@acme.example").exists()
    platform = {act: details for act, _, details in told_by(trail.PLATFORM)}
    assert platform["person_created"]["person"] == "new@acme.example"
    assert platform["staff_role_changed"]["is_staff"] == {
        "before": False,
        "after": True,
    }
    changes = [d for act, _, d in told_by(acme.pk) if act == "person_changed"]
    assert changes == [
        {"person": bob.email, "name": {"before": "Bob", "after": "Robert"}},
        {"person": bob.email, "password": "changed"},
    ]


def test_roles_of_staff_are_told_by(admin_client, support):
    group = staff("security_auditor", memberships_of(support.pk)[0].organisation)
    role = group.groups.get()
    admin_client.post(
        f"{A}user/{support.pk}/change/",
        {
            "email": support.email, "name": "Support", "is_active": "on", "is_staff": "on",
            "groups": [str(role.pk)],
        },
    )  # fmt: skip

    act, _, details = told_by(trail.PLATFORM)[-1]
    assert act == "staff_role_changed"
    assert details["groups"] == {"before": [], "after": ["security_auditor"]}


def test_a_provider_saved_in_the_admin_is_told_without_its_secret(
    admin_client, acme, acme_provider
):
    admin_client.post(
        f"{A}identityprovider/{acme_provider.pk}/change/",
        {
            "name": "Acme", "issuer": acme_provider.issuer, "client_id": "netra-acme",
            "new_secret": "fresh and secret", "preset": "generic",
            "token_auth": "client_secret_basic", "role_map": '{"a": "admin"}',
            "enabled": "on", "default_role": "viewer",
        },
    )  # fmt: skip

    (act, who, details), *rest = told_by(acme.pk)
    assert (act, who, rest) == ("provider_changed", "admin@netra.example", [])
    assert details["secret"] == "changed"
    assert details["role_map"] == {"before": {}, "after": {"a": "admin"}}
    assert "fresh and secret" not in json.dumps(details)


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"role_map": '{"a": "owner"}'}, "role_map"),
        ({"role_map": "[]"}, "role_map"),
        (
            {
                "preset": "entra",
                "issuer": "https://login.microsoftonline.com/common/v2.0",
            },
            "issuer",
        ),
    ],
)
def test_a_provider_that_would_let_in_too_much_is_refused(
    admin_client, acme_provider, values, field
):
    form = {
        "name": "Acme", "issuer": acme_provider.issuer, "client_id": "c", "new_secret": "",
        "preset": "generic", "token_auth": "client_secret_basic", "role_map": "{}",
        "enabled": "on", "default_role": "viewer",
    }  # fmt: skip

    page = admin_client.post(
        f"{A}identityprovider/{acme_provider.pk}/change/", form | values
    )

    assert page.status_code == 200
    assert set(page.context["adminform"].form.errors) == {field}


def test_an_organisation_made_in_the_admin_gets_its_tier_and_is_told_by(admin_client):
    admin_client.post(
        f"{A}organisation/add/",
        {
            "name": "New", "slug": "new", "kind": "customer", "tier": "enterprise",
            "status": "active", "signed_up_with": "google",
        },
    )  # fmt: skip

    place = Organisation.objects.get(slug="new")
    assert place.tier == "free"
    assert told_by(place.pk)[0][0] == "organisation_created"


def test_enforcing_company_sign_in_shows_who_would_be_locked_out(
    admin_client, acme, alice, bob, acme_provider
):
    with TESTS:
        link(acme_provider, bob)
    url = f"{A}organisation/{acme.pk}/change/"

    page = page_of(admin_client, url)
    assert alice.email in page
    assert bob.email not in page

    with TESTS:
        IdentityProvider.objects.update(enabled=False)
    form = {"name": "Acme", "tier": acme.tier, "status": "active", "sso_required": "on"}
    answer = admin_client.post(url, form, follow=True)
    assert "Nobody of Acme could sign in" in answer.content.decode()
    acme.refresh_from_db()
    assert not acme.sso_required


# -- identities ------------------------------------------------------------------------


def test_an_identity_is_shown_suspended_and_unlinked(
    admin_client, acme, bob, acme_provider
):
    with TESTS:
        row = link(acme_provider, bob)
    SocialAccount.objects.create(user=bob, provider="acme", uid="s-1")

    page = page_of(admin_client, f"{A}identity/{row.pk}/change/")
    assert "s-1" in page
    assert "<time" in page

    for action in ("suspend", "unlink"):
        admin_client.post(
            f"{A}identity/", {"action": action, "_selected_action": [str(row.pk)]}
        )

    with TESTS:
        assert not Identity.objects.exists()
    assert not SocialAccount.objects.exists()
    assert [act for act, _, _ in told_by(acme.pk)] == [
        "identity_linked",
        "identity_changed",
        "identity_unlinked",
    ]


@pytest.mark.parametrize("action", ["suspend", "lift", "unlink"])
def test_auditors_change_no_identity(client, netra, bob, acme_provider, action):
    with TESTS:
        row = link(acme_provider, bob)
    client.force_login(staff("security_auditor", netra))

    client.post(f"{A}identity/", {"action": action, "_selected_action": [str(row.pk)]})

    with TESTS:
        assert Identity.objects.get().status == "active"
