"""What every sign-in must meet: enforced company sign-in, staff's own doors, answers that count once."""

from __future__ import annotations

import json
import time

import pytest
from django.core.cache import cache
from django.test import Client

from apps.accounts.admission import PERSON_RULES
from apps.accounts.models import Organisation, SignIn, User
from apps.audits.acts import Act
from apps.audits.models import Entry, Receipt
from tests import factories
from tests.accounts.conftest import make_provider
from tests.accounts.lying_provider import Visitor
from tests.factories import PASSWORD, TESTS

pytestmark = pytest.mark.security
LOGIN = "/accounts/login/"


def try_password(email: str, password: str = PASSWORD):
    client = Client()
    return client, client.post(LOGIN, {"login": email, "password": password})


def enforce(place: Organisation) -> None:
    Organisation.objects.filter(pk=place.pk).update(sso_required=True)


def test_a_right_password_is_refused_by_name_where_the_company_signs_in(alice, acme):
    enforce(acme)

    client, answer = try_password(alice.email)

    page = answer.content.decode()
    assert answer.status_code == 403
    assert "Acme signs in through its own provider" in page
    assert "_auth_user_id" not in client.session
    assert "account_authentication_methods" not in client.session
    assert not SignIn.objects.exists()
    with TESTS:
        receipt = Receipt.objects.get()
        told = json.loads(Entry.objects.get(act=Act.SIGN_IN_REFUSED).body)
    assert (receipt.code, receipt.user_id) == ("company_sign_in_required", alice.pk)
    assert str(receipt.id) in page
    assert (told["outcome"], told["organisation"]) == ("refused", str(acme.pk))


def test_a_wrong_password_tells_nothing_of_the_rule(alice, acme):
    enforce(acme)

    _, answer = try_password(alice.email, "wrong")

    assert "own provider" not in answer.content.decode()
    with TESTS:
        assert not Receipt.objects.exists()


def test_members_of_others_are_not_concerned(mallory, acme):
    enforce(acme)

    assert "_auth_user_id" in try_password(mallory.email)[0].session


def test_one_enforcing_organisation_is_enough(alice, globex):
    with TESTS:
        alice.memberships.create(organisation=globex, role="viewer")
    enforce(globex)

    assert "_auth_user_id" not in try_password(alice.email)[0].session


def test_staff_keep_their_password(support, netra):
    enforce(netra)

    assert "_auth_user_id" in try_password(support.email)[0].session


def test_the_company_itself_lets_them_in(visitor, alice, acme):
    enforce(acme)

    visitor.sign_in()

    assert visitor.is_signed_in
    with TESTS:
        row = SignIn.objects.select_related("provider").get()
    assert (row.method, row.sub, row.provider.provider_id) == (
        "provider",
        "s-1",
        "acme",
    )


def test_what_the_provider_tells_is_kept(visitor, alice):
    at = int(time.time()) - 100
    visitor.provider.claims = {"sid": "there-1", "auth_time": at}
    visitor.sign_in()

    row = SignIn.objects.get()
    assert row.sid == "there-1"
    assert row.authenticated_at.timestamp() == at


def test_silence_about_the_time_is_no_fresh_sign_in(visitor, alice):
    visitor.sign_in()

    assert SignIn.objects.get().authenticated_at is None


def test_a_customers_provider_yields_no_staff_session(visitor, alice):
    visitor.sign_in()
    visitor.client.post("/accounts/logout/")
    User.objects.filter(pk=alice.pk).update(is_staff=True)

    answer = visitor.sign_in()

    assert answer.status_code == 403
    assert not visitor.is_signed_in


def test_nor_where_admission_were_to_let_them_pass(visitor, alice, monkeypatch):
    visitor.sign_in()
    visitor.client.post("/accounts/logout/")
    User.objects.filter(pk=alice.pk).update(is_staff=True)
    monkeypatch.setitem(PERSON_RULES, "staff_elsewhere", lambda *_: None)

    answer = visitor.sign_in()

    assert (answer.status_code, visitor.is_signed_in) == (403, False)
    assert SignIn.objects.filter(ended_at=None).count() == 0


def test_netras_own_provider_yields_one(liar, netra, support):
    make_provider(netra, issuer=liar.url)
    visitor = Visitor(liar, "netra")
    liar.claims = {"email": support.email, "aud": "netra-netra"}

    visitor.sign_in()

    assert visitor.is_signed_in
    assert visitor.client.get("/admin/").status_code == 200


def test_an_answer_counts_once_for_all_servers(visitor, alice, monkeypatch):
    """Even where the session that began it came back, as from a copy of the database."""
    monkeypatch.setattr("allauth.socialaccount.internal.statekit._save_session", id)
    visitor.start()
    kept = dict(visitor.client.session.items())
    visitor.come_back()
    fresh = Visitor(visitor.provider)
    session = fresh.client.session
    session.update({k: v for k, v in kept.items() if "state" in k})
    session.save()
    fresh.asked = visitor.asked

    answer = fresh.come_back()

    assert "was used before" in answer.content.decode()
    assert not fresh.is_signed_in


def test_without_the_shared_cache_nobody_passes_and_is_told_to_try_again(
    visitor, alice, monkeypatch
):
    visitor.start()
    monkeypatch.setattr(type(cache._connections["default"]), "away", True, raising=False)  # fmt: skip

    answer = visitor.come_back()

    page = answer.content.decode()
    assert (answer.status_code, answer["Retry-After"]) == (503, "60")
    assert "interrupted on our side" in page
    assert "Try again" in page
    assert not visitor.is_signed_in
    assert not SignIn.objects.exists()


def test_a_person_of_no_organisation_signs_in_and_is_told_to_the_platform(db):
    User.objects.create_user("lonely@nowhere.example", PASSWORD)

    client, _ = try_password("lonely@nowhere.example")

    assert "_auth_user_id" in client.session
    with TESTS:
        assert Entry.objects.get(act=Act.SIGNED_IN).organisation_id.int == 0


def test_suspended_organisations_enforce_nothing(alice, acme, globex):
    with TESTS:
        alice.memberships.create(organisation=globex, role="viewer")
    enforce(acme)
    Organisation.objects.filter(pk=acme.pk).update(status="suspended")

    assert "_auth_user_id" in try_password(alice.email)[0].session
    assert factories.principal(alice, globex)
