"""Confirming that it is you: here with what one has, at the provider with a fresh `auth_time`."""

from __future__ import annotations

import json
import time
from datetime import timedelta

import pytest
from allauth.mfa.models import Authenticator
from django.test import Client, RequestFactory
from django.utils import timezone

from apps.accounts.models import SignIn
from apps.accounts.receivers import keep_confirmation
from apps.accounts.sessions.stepup import step_up, stepped_up
from apps.audits.acts import Act
from apps.audits.models import Entry
from tests.accounts.lying_provider import Visitor
from tests.accounts.sessions.test_sessions import age, by_password, row_of
from tests.factories import PASSWORD, TESTS, sign_in

pytestmark = pytest.mark.security
TOKENS, CONFIRM = "/accounts/tokens/", "/accounts/confirm/"
NEW = {"name": "CI", "days": "30"}
AGO = timedelta(minutes=6)


def makes_a_token(client: Client) -> bool:
    return "Copy the new token now" in client.post(TOKENS, NEW).content.decode()


def confirm(visitor: Visitor, **values: object) -> object:
    """Begin at the page that asks, and come back from the provider with these claims."""
    answer = visitor.client.post(CONFIRM, {"next": TOKENS})
    assert answer.status_code == 302, answer.content
    visitor.start_from(answer)
    visitor.provider.claims = {"auth_time": int(time.time()), **values}
    return visitor.come_back()


def told() -> int:
    with TESTS:
        return Entry.objects.filter(act=Act.STEPPED_UP).count()


def test_a_fresh_sign_in_needs_no_more(alice):
    assert makes_a_token(by_password(alice))


def test_an_older_one_is_led_to_its_password_and_back(alice):
    client = by_password(alice)
    age(client, authenticated_at=AGO)

    asked = client.post(TOKENS, NEW)
    assert asked["Location"] == f"{CONFIRM}?next=%2Faccounts%2Ftokens%2F"
    where = client.get(asked["Location"])["Location"]
    assert where == "/accounts/reauthenticate/?next=%2Faccounts%2Ftokens%2F"
    before = client.session.session_key
    back = client.post(where, {"password": PASSWORD, "next": TOKENS})

    assert back["Location"] == TOKENS
    assert client.session.session_key != before, "a raised session has another key"
    assert told() == 1
    assert makes_a_token(client)


def test_a_wrong_password_confirms_nothing(alice):
    client = by_password(alice)
    age(client, authenticated_at=AGO)

    client.post("/accounts/reauthenticate/", {"password": "wrong", "next": TOKENS})

    assert not makes_a_token(client)
    assert told() == 0


def test_with_a_second_factor_the_password_alone_confirms_nothing(alice):
    client = by_password(alice)
    Authenticator.objects.create(user=alice, type="totp", data={"secret": "x"})
    age(client, authenticated_at=AGO)

    client.post("/accounts/reauthenticate/", {"password": PASSWORD, "next": TOKENS})

    assert not makes_a_token(client)
    assert "2fa/reauthenticate" in client.get(CONFIRM)["Location"]


def test_nor_where_some_page_were_to_take_it(alice, rf: RequestFactory):
    row = sign_in(alice, authenticated_at=None)
    Authenticator.objects.create(user=alice, type="totp", data={"secret": "x"})
    request = rf.post("/")
    request.sign_in, request.user = row, alice

    keep_confirmation(request, alice, "password", reauthenticated=True)

    row.refresh_from_db()
    assert row.authenticated_at is None


def test_the_provider_is_asked_anew(visitor, alice):
    visitor.sign_in()
    assert not makes_a_token(visitor.client), "it did not tell when"
    page = visitor.client.get(f"{CONFIRM}?next={TOKENS}").content.decode()
    assert "Continue to Acme" in page
    before = visitor.client.session.session_key

    answer = confirm(visitor)

    assert answer["Location"] == TOKENS
    assert (visitor.asked["prompt"], visitor.asked["max_age"]) == ("login", "0")
    assert visitor.client.session.session_key != before
    assert makes_a_token(visitor.client)
    assert told() == 1


@pytest.mark.parametrize(
    ("claims", "rule"),
    [
        pytest.param({"auth_time": None}, "did not say when", id="absent"),
        pytest.param({"auth_time": "now"}, "did not say when", id="no number"),
        pytest.param({"auth_time": True}, "did not say when", id="a boolean"),
        pytest.param(
            {"auth_time": int(time.time()) + 10**6}, "did not say when", id="ahead"
        ),
        pytest.param(
            {"auth_time": int(time.time()) - 3600}, "did not ask you anew", id="stale"
        ),
        pytest.param({"sub": "s-2"}, "not the account", id="somebody else"),
    ],
)
def test_an_answer_that_proves_nothing_is_refused(visitor, alice, claims, rule):
    visitor.sign_in()

    answer = confirm(visitor, **claims)

    assert answer.status_code == 403
    assert rule in answer.content.decode()
    assert visitor.is_signed_in
    assert SignIn.objects.get().authenticated_at is None
    assert not makes_a_token(visitor.client)
    with TESTS:
        body = json.loads(Entry.objects.get(act=Act.SIGN_IN_REFUSED).body)
    assert body["details"]["rule"].startswith("step_up_")


def test_an_answer_without_a_session_opens_none(visitor, alice):
    visitor.sign_in()
    answer = visitor.client.post(CONFIRM, {"next": TOKENS})
    visitor.start_from(answer)
    visitor.provider.claims = {"auth_time": int(time.time())}
    session = visitor.client.session
    for name in ("_auth_user_id", "_auth_user_hash", "_auth_user_backend"):
        del session[name]
    session.save()

    answer = visitor.come_back()

    assert answer.status_code == 403
    assert not visitor.is_signed_in


def test_the_way_on_leads_nowhere_else(visitor, alice):
    visitor.sign_in()
    page = visitor.client.get(f"{CONFIRM}?next=https://evil.example/").content.decode()

    assert "evil" not in page


def test_step_up_keeps_foreign_addresses_out(rf: RequestFactory):
    assert step_up(rf.get("/"), "//evil.example")["Location"] == CONFIRM
    assert step_up(rf.get("/"), TOKENS)["Location"].endswith("tokens%2F")


def test_without_a_sign_in_nobody_has_stepped_up(rf: RequestFactory):
    assert not stepped_up(rf.get("/"))


def test_a_second_factor_is_not_changed_by_whoever_sits_down(alice):
    client = by_password(alice)
    age(client, authenticated_at=AGO)

    for path in ("totp/activate/", "webauthn/add/", "recovery-codes/generate/"):
        answer = client.get(f"/accounts/2fa/{path}")
        assert answer["Location"].startswith(CONFIRM), path


def test_nor_through_a_provider_that_does_not_tell_when(visitor, alice):
    """allauth alone asks nobody who has neither password nor factor."""
    visitor.sign_in()

    answer = visitor.client.get("/accounts/2fa/totp/activate/")

    assert answer["Location"].startswith(CONFIRM)


def test_providers_and_domains_are_changed_after_a_fresh_sign_in_only(
    netra, client, acme_provider
):
    from tests.staff import staff

    client.force_login(staff("platform_admin", netra))
    path = f"/admin/accounts/identityprovider/{acme_provider.pk}/change/"
    assert client.get(path).status_code == 200
    age(client, authenticated_at=AGO)

    for each in (path, "/admin/accounts/domain/add/"):
        assert client.get(each)["Location"].startswith(CONFIRM)
        assert client.post(each, {})["Location"].startswith(CONFIRM)


def test_a_confirmation_lasts_five_minutes(alice):
    client = by_password(alice)
    age(client, authenticated_at=timedelta(minutes=4, seconds=50))
    assert makes_a_token(client)
    age(client, authenticated_at=timedelta(seconds=20))

    assert not makes_a_token(client)
    assert row_of(client).authenticated_at < timezone.now()
