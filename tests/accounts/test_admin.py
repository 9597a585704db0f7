"""The admin of people: no secret is shown, nobody lifts themselves up, writes go through actions."""

from __future__ import annotations

import pytest
from allauth.account.models import EmailAddress
from allauth.socialaccount.models import SocialAccount, SocialApp, SocialToken
from django.contrib import admin
from django.contrib.auth.models import Permission

from apps.accounts import actions
from apps.accounts.access import memberships_of, principal_from_token
from apps.accounts.actions import members
from apps.accounts.models import (
    Identity,
    IdentityProvider,
    Membership,
    Organisation,
    Token,
    User,
)
from apps.core.errors import NotAuthenticatedError
from apps.core.tenancy import tenant
from tests.factories import TESTER, TESTS, person
from tests.staff import staff

pytestmark = pytest.mark.security
A = "/admin/accounts/"


@pytest.fixture
def admin_client(client, netra):
    user = person("admin@netra.example", netra, is_staff=True)
    User.objects.filter(pk=user.pk).update(is_superuser=True)
    client.force_login(user)
    return client


@pytest.fixture
def helper_client(client, support):
    """Staff who may change users, and are no platform admins."""
    support.user_permissions.add(
        *Permission.objects.filter(codename__in=["view_user", "change_user"])
    )
    client.force_login(support)
    return client


@pytest.fixture
def token(alice, acme) -> str:
    with TESTS:
        return actions.create_token(actor=TESTER, user=alice, organisation_id=acme.pk)


@pytest.mark.parametrize("model", [EmailAddress, SocialAccount, SocialApp, SocialToken])
def test_allauths_own_tables_are_not_shown(model):
    assert not admin.site.is_registered(model)


@pytest.mark.parametrize(
    "model",
    ["user", "organisation", "membership", "identityprovider", "identity", "token"],
)
def test_every_list_and_page_opens(admin_client, alice, acme_provider, token, model):
    with tenant(acme_provider.organisation_id):
        actions.link_identity(
            actor=TESTER,
            provider=acme_provider,
            user=alice,
            sub="s-1",
            email=alice.email,
        )
    listed = admin_client.get(f"{A}{model}/")
    kinds = {
        "user": User,
        "membership": Membership,
        "identityprovider": IdentityProvider,
        "identity": Identity,
        "token": Token,
    }
    with TESTS:
        row = (
            kinds[model].objects.first()
            if model in kinds
            else acme_provider.organisation
        )
    page = admin_client.get(f"{A}{model}/{row.pk}/change/")

    assert (listed.status_code, page.status_code) == (200, 200)
    text = listed.content.decode() + page.content.decode()
    assert "never to be shown" not in text
    assert token not in text
    with TESTS:
        assert Token.objects.get().digest not in text


@pytest.mark.parametrize(
    "model", ["user", "organisation", "membership", "identityprovider"]
)
def test_every_form_for_a_new_row_opens(admin_client, model):
    assert admin_client.get(f"{A}{model}/add/").status_code == 200


def provider_form(row, **values) -> dict[str, object]:
    return {
        "name": "Acme",
        "issuer": row.issuer,
        "client_id": row.client_id,
        "new_secret": "",
        "preset": "generic",
        "token_auth": "client_secret_basic",
        "role_map": "{}",
        "enabled": "on",
        "default_role": "member",
    } | values


def test_an_empty_secret_keeps_the_present_one(admin_client, acme_provider):
    url = f"{A}identityprovider/{acme_provider.pk}/change/"

    assert admin_client.post(url, provider_form(acme_provider)).status_code == 302
    with TESTS:
        assert IdentityProvider.objects.get().secret == "never to be shown"

    assert (
        admin_client.post(
            url, provider_form(acme_provider, new_secret="fresh")
        ).status_code
        == 302
    )
    with TESTS:
        assert IdentityProvider.objects.get().secret == "fresh"


def test_a_providers_name_cannot_be_changed(admin_client, acme_provider, globex):
    url = f"{A}identityprovider/{acme_provider.pk}/change/"
    admin_client.post(
        url,
        provider_form(acme_provider, provider_id="other", organisation=str(globex.pk)),
    )

    with TESTS:
        row = IdentityProvider.objects.get()
    assert (row.provider_id, row.organisation_id) == (
        "acme",
        acme_provider.organisation_id,
    )


@pytest.mark.parametrize("model", ["identity", "token"])
def test_identities_and_tokens_are_not_edited(
    admin_client, alice, acme_provider, token, model
):
    assert admin_client.get(f"{A}{model}/add/").status_code == 403


def test_a_token_is_revoked_from_the_list(admin_client, token):
    with TESTS:
        row = Token.objects.get()

    admin_client.post(
        f"{A}token/", {"action": "revoke", "_selected_action": [str(row.pk)]}
    )

    with pytest.raises(NotAuthenticatedError):
        principal_from_token(token)


def test_without_permission_no_token_is_revoked(client, support, token):
    support.user_permissions.add(Permission.objects.get(codename="view_token"))
    client.force_login(support)
    with TESTS:
        row = Token.objects.get()

    client.post(f"{A}token/", {"action": "revoke", "_selected_action": [str(row.pk)]})

    assert principal_from_token(token)


def test_an_identity_is_suspended_and_lifted(admin_client, alice, acme_provider):
    with tenant(acme_provider.organisation_id):
        row = actions.link_identity(
            actor=TESTER,
            provider=acme_provider,
            user=alice,
            sub="s-1",
            email=alice.email,
        )

    for action, status in (("suspend", "suspended"), ("lift", "active")):
        admin_client.post(
            f"{A}identity/", {"action": action, "_selected_action": [str(row.pk)]}
        )
        with TESTS:
            assert Identity.objects.get().status == status


def test_a_membership_is_made_changed_and_ended_through_actions(
    admin_client, alice, globex, monkeypatch
):
    told = []
    monkeypatch.setattr(members, "publish", told.append)
    admin_client.post(
        f"{A}membership/add/",
        {"user": str(alice.pk), "organisation": str(globex.pk), "role": "viewer"},
    )
    made = memberships_of(alice.pk)[1]
    admin_client.post(f"{A}membership/{made.pk}/change/", {"role": "admin"})
    assert memberships_of(alice.pk)[1].role == "admin"
    admin_client.post(f"{A}membership/{made.pk}/delete/", {"post": "yes"})

    *changes, ended = told
    assert [event.role for event in changes] == ["viewer", "admin", None]
    assert (ended.user_id, ended.organisation_id) == (alice.pk, globex.pk)
    assert len(memberships_of(alice.pk)) == 1


def test_an_organisation_is_never_deleted(admin_client, acme):
    assert admin_client.get(f"{A}organisation/{acme.pk}/delete/").status_code == 403


def form_of(row: Organisation, **values: str) -> dict[str, str]:
    known = {"name": row.name, "tier": row.tier, "status": row.status}
    return known | {"concurrent_executions": ""} | values


@pytest.mark.parametrize(("given", "kept"), [("3", 3), ("", None)])
def test_an_organisation_may_have_a_limit_of_its_own(admin_client, acme, given, kept):
    Organisation.objects.filter(pk=acme.pk).update(concurrent_executions=7)
    url = f"{A}organisation/{acme.pk}/change/"
    assert "as its tier says, 10 at present" in admin_client.get(url).content.decode()

    admin_client.post(url, form_of(acme, concurrent_executions=given))

    acme.refresh_from_db()
    assert acme.concurrent_executions == kept


@pytest.mark.parametrize("wrong", ["0", "-1", "10001", "many"])
def test_a_limit_that_makes_no_sense_is_refused(admin_client, acme, wrong):
    url = f"{A}organisation/{acme.pk}/change/"

    page = admin_client.post(url, form_of(acme, concurrent_executions=wrong))

    assert page.status_code == 200
    assert page.context["adminform"].form.errors.keys() == {"concurrent_executions"}
    acme.refresh_from_db()
    assert acme.concurrent_executions is None


@pytest.mark.parametrize("role", ["support_operator", "security_auditor"])
def test_only_platform_admins_set_a_limit(client, netra, acme, role):
    client.force_login(staff(role, netra))
    url = f"{A}organisation/{acme.pk}/change/"

    answer = client.post(url, form_of(acme, concurrent_executions="99"))

    assert answer.status_code == 403
    acme.refresh_from_db()
    assert acme.concurrent_executions is None


def test_staff_do_not_lift_themselves_up(helper_client, support):
    url = f"{A}user/{support.pk}/change/"
    helper_client.post(
        url,
        {
            "email": support.email,
            "name": "x",
            "is_active": "on",
            "is_staff": "on",
            "is_superuser": "on",
        },
    )

    support.refresh_from_db()
    assert not support.is_superuser


def test_staff_do_not_take_over_an_operators_account(helper_client, netra):
    operator = person("admin@netra.example", netra, is_staff=True)
    before = operator.password

    response = helper_client.post(
        f"{A}user/{operator.pk}/password/",
        {"password1": "x" * 20, "password2": "x" * 20},
    )

    operator.refresh_from_db()
    assert response.status_code == 403
    assert operator.password == before


def test_staff_may_change_a_customers_name_and_nothing_more(helper_client, alice):
    url = f"{A}user/{alice.pk}/change/"
    helper_client.post(
        url,
        {"email": alice.email, "name": "New Name", "is_active": "on", "is_staff": "on"},
    )

    alice.refresh_from_db()
    assert (alice.name, alice.is_staff) == ("New Name", False)


def test_a_customer_sees_no_admin(client, alice):
    client.force_login(alice)

    assert client.get(f"{A}user/").status_code in {302, 403}
