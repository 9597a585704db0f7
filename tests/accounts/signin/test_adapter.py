"""allauth's override points: what it may list, who may sign up, and what a refusal leaves behind."""

from __future__ import annotations

import pytest
from allauth.account.adapter import get_adapter as account_adapter
from allauth.account.models import EmailAddress
from allauth.core.context import request_context
from allauth.socialaccount.adapter import get_adapter
from allauth.socialaccount.internal.flows.login import complete_login
from allauth.socialaccount.models import SocialAccount, SocialApp, SocialLogin
from django.contrib.auth.middleware import AuthenticationMiddleware
from django.contrib.auth.models import AnonymousUser
from django.contrib.messages.middleware import MessageMiddleware
from django.contrib.sessions.middleware import SessionMiddleware
from django.http import HttpResponse
from django.test import RequestFactory

from apps.accounts.models import Identity, IdentityProvider, User
from apps.audits.models import Receipt
from tests.factories import TESTS

pytestmark = pytest.mark.security


@pytest.fixture
def request_(rf: RequestFactory, db):
    request = rf.get("/accounts/oidc/acme/login/callback/")
    for middleware in (SessionMiddleware, AuthenticationMiddleware, MessageMiddleware):
        middleware(lambda _: HttpResponse()).process_request(request)
    with request_context(request):
        yield request


def come_back(
    request, row: IdentityProvider, email: str = "alice@acme.example", **more
):
    """What allauth does when a provider has sent somebody back to us."""
    told = {
        "sub": more.pop("sub", "s-1"),
        "email": email,
        "name": "A Person",
        **more.pop("told", {}),
    }
    provider = get_adapter().get_provider(request, row.provider_id)
    login = provider.sociallogin_from_response(request, {"userinfo": told})
    login.state = {"process": "login", **more}
    return complete_login(request, login)


def test_the_login_page_lists_no_customers(request_, acme_provider):
    adapter = get_adapter()

    assert adapter.list_apps(request_) == []
    assert adapter.list_apps(request_, provider="openid_connect") == []
    assert adapter.list_providers(request_) == []


def test_a_provider_is_our_row_with_pkce(request_, acme_provider):
    (app,) = get_adapter().list_apps(request_, provider="acme")

    assert (app.client_id, app.secret, app.pk) == (
        "netra-acme",
        "never to be shown",
        None,
    )
    assert app.settings["oauth_pkce_enabled"] is True
    assert app.settings["server_url"] == acme_provider.issuer
    assert get_adapter().list_apps(request_, provider="acme", client_id="other") == []


def test_a_row_of_allauths_own_table_is_no_provider(request_, acme):
    SocialApp.objects.create(
        provider="openid_connect", provider_id="sneaked", client_id="x"
    )

    assert get_adapter().list_apps(request_, provider="sneaked") == []


def test_nobody_signs_up(request_):
    assert not account_adapter(request_).is_open_for_signup(request_)
    assert not get_adapter(request_).is_open_for_signup(
        request_, SocialLogin(user=User())
    )


def test_a_member_is_signed_in(request_, alice, acme_provider):
    response = come_back(request_, acme_provider)

    assert (response.status_code, response["Location"]) == (302, "/")
    assert request_.user == alice
    assert SocialAccount.objects.get().user == alice
    assert request_.session["organisation"] == "acme"


def test_signing_in_again_finds_the_same_rows(request_, alice, acme_provider):
    come_back(request_, acme_provider)
    come_back(request_, acme_provider)

    with TESTS:
        assert (
            Identity.objects.count()
            == SocialAccount.objects.count()
            == User.objects.count()
            == 1
        )


def test_a_newcomer_has_one_address_that_counts_as_verified(request_, acme_provider):
    come_back(request_, acme_provider, "new@acme.example")

    address = EmailAddress.objects.get(user=request_.user)
    assert (address.email, address.verified, address.primary) == (
        "new@acme.example",
        True,
        True,
    )


def test_a_refusal_is_a_page_with_a_receipt_and_nothing_else(
    request_, alice, acme_provider, globex_provider
):
    response = come_back(request_, globex_provider, "alice@acme.example", sub="evil")

    page = response.content.decode()
    assert response.status_code == 403
    assert "Globex may not speak for alice@acme.example" in page
    assert "What to do" in page
    assert isinstance(request_.user, AnonymousUser)
    assert not SocialAccount.objects.exists()
    with TESTS:
        assert not Identity.objects.exists()
        receipt = Receipt.objects.get()
    assert (receipt.organisation_id, receipt.rule) == (
        globex_provider.organisation_id,
        "own_domain",
    )
    assert str(receipt.id) in page


def test_two_refused_strangers_share_no_receipt(request_, globex_provider):
    come_back(request_, globex_provider, "alice@acme.example", sub="one")
    come_back(request_, globex_provider, "bob@acme.example", sub="two")

    with TESTS:
        assert {r.values["asserted"] for r in Receipt.objects.all()} == {
            "alice@acme.example",
            "bob@acme.example",
        }


def test_an_address_that_is_called_unverified_is_refused(
    request_, alice, acme_provider
):
    assert (
        come_back(request_, acme_provider, told={"email_verified": False}).status_code
        == 403
    )


def test_no_address_is_refused(request_, acme_provider):
    assert come_back(request_, acme_provider, "").status_code == 403


def test_accounts_are_not_joined(request_, mallory, acme_provider):
    """Or a signed-in stranger could hang another company's sign-in on their account, or lend theirs."""
    request_.user = mallory

    response = come_back(request_, acme_provider, "new@acme.example", process="connect")

    assert response.status_code == 403
    assert not SocialAccount.objects.exists()


def test_a_record_of_allauths_that_disagrees_is_refused(
    request_, alice, bob, acme_provider
):
    SocialAccount.objects.create(user=bob, provider="acme", uid="s-1")

    assert come_back(request_, acme_provider, alice.email).status_code == 403
    with TESTS:
        assert not Identity.objects.exists()
    assert SocialAccount.objects.get().user == bob


def test_a_refused_answer_changes_nothing_that_allauth_keeps(
    request_, alice, acme_provider
):
    come_back(request_, acme_provider)
    with TESTS:
        Identity.objects.update(status="suspended", reason="by hand")

    refused = come_back(request_, acme_provider, told={"department": "mallory's"})

    assert refused.status_code == 403
    assert "department" not in SocialAccount.objects.get().extra_data["userinfo"]


def test_what_a_provider_tells_now_replaces_what_it_told(
    request_, alice, acme_provider
):
    for department in ("one", "two"):
        come_back(request_, acme_provider, told={"department": department})

    assert (
        SocialAccount.objects.get().extra_data["userinfo"]["department"] == department
    )


def test_a_provider_switched_off_on_the_way_is_refused(request_, alice, acme_provider):
    provider = get_adapter().get_provider(request_, "acme")
    login = provider.sociallogin_from_response(
        request_, {"userinfo": {"sub": "s-1", "email": alice.email}}
    )
    login.state = {"process": "login"}
    with TESTS:
        IdentityProvider.objects.update(enabled=False)

    assert complete_login(request_, login).status_code == 403
