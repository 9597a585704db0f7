"""The admin of people and sign-in: every write is an action, every refusal a sentence, all of it told."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from allauth.socialaccount.models import SocialAccount
from django.utils import timezone

from apps.accounts import actions
from apps.accounts.access import memberships_of
from apps.accounts.models import (
    Identity,
    IdentityProvider,
    Membership,
    Organisation,
    SignIn,
    Token,
    User,
)
from apps.audits import trail
from tests.accounts.signing import link, told_by
from tests.factories import PASSWORD, TESTER, TESTS, person
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
    made = User.objects.get(email="new@acme.example")
    admin_client.post(
        f"{A}user/{made.pk}/password/",
        {"usable_password": "true", "password1": PASSWORD + "!", "password2": PASSWORD + "!"},
    )  # fmt: skip

    platform = {act: details for act, _, details in told_by(trail.PLATFORM)}
    assert platform["person_created"]["person"] == "new@acme.example"
    assert platform["staff_role_changed"]["is_staff"] == {
        "before": False,
        "after": True,
    }
    changes = [d for act, _, d in told_by(acme.pk) if act == "person_changed"]
    assert changes == [
        {"person": bob.email, "name": {"before": "Bob", "after": "Robert"}}
    ]
    assert platform["person_changed"] == {
        "person": "new@acme.example",
        "password": "changed",
    }


@pytest.mark.security
def test_nobody_sets_the_password_of_a_customers_member(admin_client, bob):
    """Whoever sets it could sign in as them, and read without a grant."""
    before = bob.password

    answer = admin_client.post(
        f"{A}user/{bob.pk}/password/",
        {"usable_password": "true", "password1": PASSWORD + "!", "password2": PASSWORD + "!"},
    )  # fmt: skip

    bob.refresh_from_db()
    assert answer.status_code == 403
    assert bob.password == before


@pytest.mark.security
def test_a_password_is_set_only_by_whoever_just_proved_who_they_are(admin_client):
    lone = User.objects.create_user("lone@netra.example")
    SignIn.objects.update(authenticated_at=timezone.now() - timedelta(hours=1))

    answer = admin_client.get(f"{A}user/{lone.pk}/password/")

    assert answer.status_code == 302


def test_a_new_persons_address_is_kept_in_normal_form(admin_client):
    """Else no provider's claim and no directory would find the account, and a second one is made."""
    admin_client.post(
        f"{A}user/add/",
        {
            "email": "New.One@MÜNCHEN.example", "name": "New", "usable_password": "true",
            "password1": PASSWORD, "password2": PASSWORD,
        },
    )  # fmt: skip

    made = User.objects.get(name="New")
    assert made.email == "new.one@xn--mnchen-3ya.example"
    assert made.emailaddress_set.get().email == made.email
    details = {act: told for act, _, told in told_by(trail.PLATFORM)}
    assert details["person_created"]["person"] == made.email


def test_what_a_kind_of_staff_may_do_is_not_edited_by_hand(admin_client, netra):
    """Their rights are a table in the code; a change here would stand in no trail."""
    group = staff("security_auditor", netra).groups.get()
    before = set(group.permissions.values_list("codename", flat=True))
    url = f"{A.replace('accounts', 'auth')}group/"

    admin_client.post(f"{url}{group.pk}/change/", {"name": group.name})
    admin_client.post(
        url,
        {"action": "delete_selected", "_selected_action": [group.pk], "post": "yes"},
    )

    assert set(group.permissions.values_list("codename", flat=True)) == before
    assert admin_client.get(f"{url}{group.pk}/change/").status_code == 200
    assert admin_client.get(f"{url}add/").status_code == 403
    assert admin_client.get(f"{url}{group.pk}/delete/").status_code == 403


@pytest.mark.parametrize("model", ["token", "membership"])
def test_an_action_takes_so_many_rows_and_says_so(
    admin_client, acme, alice, bob, monkeypatch, model
):
    monkeypatch.setattr("apps.accounts.admin.acting.AT_ONCE", 1)
    with TESTS:
        for user in (alice, bob):
            actions.create_token(actor=TESTER, user=user, organisation_id=acme.pk)
        rows = Token.objects.all() if model == "token" else Membership.objects.all()
        chosen = [str(pk) for pk in rows.values_list("pk", flat=True)]
    action = "revoke" if model == "token" else "remove"

    page = admin_client.post(
        f"{A}{model}/", {"action": action, "_selected_action": chosen}, follow=True
    )

    assert "Choose at most 1 at once" in page.content.decode()
    with TESTS:
        assert not Token.objects.exclude(revoked_at=None).exists()
    assert len(memberships_of(bob.pk)) == 1


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
    assert "cannot be enforced at Acme yet" in answer.content.decode()
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
