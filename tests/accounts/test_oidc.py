"""The way to a provider and back: what is asked, what must return, and who may speak for whom."""

from __future__ import annotations

import base64
import hashlib
from urllib.parse import parse_qs, urlsplit

import pytest
from django.test import Client

from apps.accounts.models import Identity, IdentityProvider, User
from apps.audits.models import Entry, Receipt
from tests import factories
from tests.accounts.conftest import make_provider
from tests.accounts.lying_provider import TOKEN, USERINFO, Visitor
from tests.accounts.oidc import assert_refused, assert_signed_in
from tests.factories import TESTS

pytestmark = pytest.mark.security


def change(**values: object) -> None:
    with TESTS:
        IdentityProvider.objects.filter(provider_id="acme").update(**values)


# -- what is asked -------------------------------------------------------------------------


def test_each_sign_in_has_a_nonce_a_state_and_a_proof_key_of_its_own(visitor):
    visitor.start()
    first = visitor.asked
    visitor.start()

    assert first["code_challenge_method"] == "S256"
    assert first["response_type"] == "code"
    assert len(first["nonce"]) >= 43
    for name in ("nonce", "state", "code_challenge"):
        assert first[name] != visitor.asked[name]


def test_the_proof_key_that_is_sent_fits_the_one_that_was_announced(visitor, liar):
    visitor.sign_in()

    fields, _ = liar.sent[0]
    digest = hashlib.sha256(fields["code_verifier"].encode()).digest()
    told = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
    assert told == visitor.asked["code_challenge"]


@pytest.mark.parametrize(
    "query",
    [
        "auth_params=prompt%3Dnone%26hd%3Devil.example%26nonce%3Dmine%26redirect_uri%3Dx",
        "scope=offline_access,admin",
        "process=connect",
        "process=redirect",
        "action=reauthenticate",
        "nonce=mine&state=mine&client_id=other",
    ],
)
def test_what_the_caller_writes_into_the_address_is_ignored(visitor, query):
    visitor.start("?" + query)

    assert set(visitor.asked) == {
        "client_id", "redirect_uri", "response_type", "scope", "state", "nonce",
        "code_challenge", "code_challenge_method",
    }  # fmt: skip
    assert visitor.asked["scope"] == "openid profile email"
    assert visitor.asked["client_id"] == "netra-acme"
    assert visitor.asked["nonce"] != "mine"
    state = next(iter(visitor.client.session["socialaccount_states"].values()))
    assert state[0]["process"] == "login"


@pytest.mark.parametrize(
    ("hint", "sent"),
    [
        ("alice@acme.example", "alice@acme.example"),
        ("alice", None),
        ("a@acme.example%0d%0aX: y", None),
        ("a" * 300 + "@acme.example", None),
    ],
)
def test_a_hint_who_it_is_goes_along_when_it_is_an_address(visitor, hint, sent):
    visitor.start(f"?login_hint={hint}")

    assert visitor.asked.get("login_hint") == sent


def test_an_endpoint_with_a_query_of_its_own_keeps_it(visitor, liar):
    liar.metadata = {"authorization_endpoint": f"{liar.url}/authorize?policy=b2c"}

    place = urlsplit(visitor.start()["Location"])

    assert parse_qs(place.query)["policy"] == ["b2c"]


@pytest.mark.parametrize(
    ("manner", "header", "field"),
    [
        ("client_secret_basic", "Basic bmV0cmEtYWNtZTpzJTNBdytv", None),
        ("client_secret_post", None, "s:w o"),
    ],
)
def test_the_secret_is_told_in_the_way_that_is_set_up(
    visitor, liar, manner, header, field
):
    change(token_auth=manner, secret="s:w o")

    visitor.sign_in()

    fields, headers = liar.sent[0]
    assert headers.get("Authorization") == header
    assert fields.get("client_secret") == field


@pytest.mark.parametrize("method", ["get", "head"])
def test_looking_begins_nothing(visitor, liar, method):
    getattr(visitor.client, method)(visitor.path)

    assert liar.asked == []
    assert "socialaccount_states" not in visitor.client.session


# -- what comes back -----------------------------------------------------------------------


def test_an_answer_without_a_beginning_is_refused(visitor):
    visitor.start()
    visitor.asked["state"] = "invented"

    assert_refused(visitor.come_back(), "state_known", visitor)


def test_an_answer_is_used_once(visitor, alice):
    assert_signed_in(visitor, visitor.sign_in())
    visitor.client.logout()

    response = visitor.come_back()

    assert response.status_code == 401
    assert not visitor.is_signed_in
    with TESTS:
        assert Receipt.objects.get().rule == "state_known"


def test_an_answer_of_another_browser_is_refused(visitor):
    visitor.start()
    visitor.client = Client()

    assert_refused(visitor.come_back(), "state_known", visitor)


def test_an_answer_is_taken_at_its_own_provider_only(visitor, liar, globex):
    make_provider(globex, issuer=liar.url)
    visitor.start()
    visitor.path = "/accounts/oidc/globex/login/"

    assert_refused(visitor.come_back(), "state_known", visitor)


def test_an_answer_is_fetched_and_not_sent(visitor):
    assert visitor.client.post(f"{visitor.path}callback/").status_code == 405


@pytest.mark.parametrize("announced", [True, False])
def test_an_answer_that_names_its_issuer_names_the_right_one(visitor, liar, announced):
    liar.metadata = {"authorization_response_iss_parameter_supported": announced}
    visitor.start()

    response = visitor.come_back(iss="https://mallory.example")

    assert_refused(response, "answer_issuer", visitor)


def test_an_answer_names_its_issuer_where_that_was_announced(visitor, liar):
    liar.metadata = {"authorization_response_iss_parameter_supported": True}

    assert_refused(visitor.sign_in(), "answer_issuer", visitor)


def test_an_answer_that_names_its_issuer_rightly_is_taken(visitor, liar, alice):
    liar.metadata = {"authorization_response_iss_parameter_supported": True}
    visitor.start()

    assert_signed_in(visitor, visitor.come_back(iss=liar.url))


def test_an_error_of_the_provider_is_told_as_ours(visitor):
    visitor.start()

    response = visitor.come_back(error="server_error", error_description="<b>boo</b>")

    assert_refused(response, "provider_agrees", visitor)
    assert "boo" not in response.content.decode()


@pytest.mark.parametrize("said", [{"iss": "\0"}, {"error": "\0"}])
def test_no_odd_character_keeps_a_refusal_off_the_record(visitor, said):
    """PostgreSQL stores no NUL: whoever writes one into the address is told of all the same."""
    visitor.start()

    response = visitor.come_back(**said)

    rule = "answer_issuer" if "iss" in said else "provider_agrees"
    assert_refused(response, rule, visitor)


def test_who_declined_is_told_so(visitor):
    visitor.start()

    response = visitor.come_back(error="access_denied")

    assert response["Location"] == "/accounts/3rdparty/login/cancelled/"


def test_who_declined_is_told_so_by_a_provider_that_forgets_the_state(visitor):
    response = visitor.client.get(f"{visitor.path}callback/?error=access_denied")

    assert response["Location"] == "/accounts/3rdparty/login/cancelled/"
    with TESTS:
        assert not Receipt.objects.exists()


@pytest.mark.parametrize("code", ["", "c" * 5000])
def test_an_answer_without_a_sane_code_is_refused(visitor, liar, code):
    visitor.start()

    assert_refused(visitor.come_back(code=code), "code_accepted", visitor)
    assert TOKEN not in liar.asked


def test_a_floods_refusals_are_only_counted(visitor, monkeypatch):
    monkeypatch.setattr("apps.accounts.refusals.RECORDED_REFUSALS", 2)

    visitor.start()
    visitor.asked["state"] = "invented"
    pages = [visitor.come_back() for _ in range(4)]

    assert [page.status_code for page in pages] == [401] * 4
    with TESTS:
        assert Receipt.objects.count() == Entry.objects.count() == 2


# -- who speaks for whom: both attacks that stock settings allow ------------------------------


@pytest.fixture
def evil(globex, liar) -> Visitor:
    """Globex is a customer too; whoever runs its provider can let it say anything."""
    make_provider(globex, issuer=liar.url)
    liar.claims = {
        "sub": "evil",
        "aud": "netra-globex",
        "email": "alice@acme.example",
        "email_verified": True,
    }
    return Visitor(liar, "globex")


def test_another_customers_provider_does_not_become_alice(evil, alice):
    """The take-over: an address that a foreign provider calls verified finds the account."""
    assert_refused(evil.sign_in(), "own_domain", evil)


def test_another_customers_provider_does_not_make_alices_account_first(evil, acme):
    """The pre-hijack: the account is there, and verified, before alice ever comes."""
    factories.domain(acme)

    assert_refused(evil.sign_in(), "own_domain", evil)
    assert not User.objects.exists()


def test_alice_comes_in_after_both_attacks(evil, visitor, liar, alice):
    evil.sign_in()
    liar.claims = {}

    assert_signed_in(visitor, visitor.sign_in())
    with TESTS:
        assert Identity.objects.get().user == alice


def test_the_same_subject_elsewhere_is_somebody_else(visitor, evil, liar, alice):
    liar.claims = {}
    assert_signed_in(visitor, visitor.sign_in())
    liar.claims = {"sub": "s-1", "aud": "netra-globex", "email": "m@globex.example"}

    assert_signed_in(evil, evil.sign_in())

    assert (
        evil.client.session["_auth_user_id"] != visitor.client.session["_auth_user_id"]
    )


@pytest.mark.parametrize("told", [False, "false", None, 0, "yes"])
def test_an_address_that_is_not_called_verified_is_refused(visitor, liar, told):
    liar.claims = {"email_verified": told}

    assert_refused(visitor.sign_in(), "verified_address", visitor)


@pytest.mark.parametrize("told", [True, "true"])
def test_an_address_may_be_called_verified_in_text(visitor, liar, alice, told):
    liar.claims = {"email_verified": told}

    assert_signed_in(visitor, visitor.sign_in())


# -- userinfo ------------------------------------------------------------------------------


def test_userinfo_is_asked_where_it_is_set_up(visitor, liar, alice):
    change(ask_userinfo=True)
    liar.userinfo = {"sub": "s-1", "email": "alice@acme.example", "name": "Alice"}

    assert_signed_in(visitor, visitor.sign_in())
    assert liar.asked.count(USERINFO) == 1


def test_userinfo_is_asked_when_the_token_has_no_address(visitor, liar, alice):
    liar.left_out = {"email", "email_verified"}
    liar.userinfo = {"sub": "s-1", "email": "alice@acme.example"}

    assert_signed_in(visitor, visitor.sign_in())


def test_userinfo_is_left_alone_otherwise(visitor, liar, alice):
    assert_signed_in(visitor, visitor.sign_in())

    assert USERINFO not in liar.asked


@pytest.mark.parametrize(
    "said", [{"name": {"first": "Alice"}}, {"email": ["@"]}, {"name": "Alice\0"}]
)
def test_userinfo_says_what_it_says_in_texts(visitor, liar, alice, said):
    change(ask_userinfo=True)
    liar.userinfo = {"sub": "s-1", "email": "alice@acme.example", **said}

    assert_refused(visitor.sign_in(), "token_claims", visitor)


@pytest.mark.parametrize("sub", ["s-2", None, ["s-1"]])
def test_userinfo_of_another_person_is_refused(visitor, liar, alice, sub):
    change(ask_userinfo=True)
    liar.userinfo = {"sub": sub, "email": "alice@acme.example"}

    assert_refused(visitor.sign_in(), "userinfo_same_person", visitor)


def test_userinfo_does_not_overrule_that_an_address_is_unverified(visitor, liar):
    change(ask_userinfo=True)
    liar.userinfo = {
        "sub": "s-1",
        "email": "bob@acme.example",
        "email_verified": False,
    }

    assert_refused(visitor.sign_in(), "verified_address", visitor)


def test_no_address_anywhere_is_refused(visitor, liar):
    liar.left_out = {"email"}
    liar.metadata = {"userinfo_endpoint": ""}

    assert_refused(visitor.sign_in(), "claims_present", visitor)
