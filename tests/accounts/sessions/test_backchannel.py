"""A provider tells that somebody left: their sessions end, and nothing else may make them end."""

from __future__ import annotations

import json
import time
import uuid

import pytest
from django.core.cache import cache
from django.test import Client

from apps.accounts.models import SignIn
from apps.accounts.sessions.backchannel import EVENT
from apps.audits.acts import Act
from apps.audits.models import Entry
from apps.core.errors import UnavailableError
from tests.accounts.conftest import make_provider
from tests.accounts.lying_provider import LyingProvider, Visitor, unsigned
from tests.factories import TESTS

pytestmark = pytest.mark.security
HERE = "/accounts/oidc/acme/backchannel-logout/"


def notice(provider: LyingProvider, **claims: object) -> str:
    """A logout token as it should be, changed by `claims`; None leaves one out."""
    given = {
        "events": {EVENT: {}},
        "jti": uuid.uuid4().hex,
        "sid": "there-1",
        "nonce": None,
        "email": None,
        "exp": int(time.time()) + 120,
        **claims,
    }
    provider.claims = {k: v for k, v in given.items() if v is not None}
    provider.left_out = {k for k, v in given.items() if v is None}
    provider.header = {"typ": "logout+jwt"}
    made = provider.token()
    provider.claims, provider.left_out, provider.header = {}, set(), {}
    return made


def tell(token: str, path: str = HERE):
    return Client(enforce_csrf_checks=True).post(path, {"logout_token": token})


def is_in(visitor: Visitor) -> bool:
    return visitor.client.get("/accounts/sessions/").status_code == 200


@pytest.fixture
def signed_in(visitor: Visitor, alice) -> Visitor:
    visitor.provider.claims = {"sid": "there-1"}
    visitor.sign_in()
    assert is_in(visitor)
    return visitor


def test_a_notice_ends_the_named_session(signed_in, acme):
    answer = tell(notice(signed_in.provider))

    assert (answer.status_code, answer.content) == (200, b"")
    assert "no-store" in answer["Cache-Control"]
    assert not is_in(signed_in)
    assert SignIn.objects.get().end_reason == "signed out at the company's provider"
    with TESTS:
        entry = Entry.objects.get(act=Act.SESSION_ENDED)
    assert entry.organisation_id == acme.pk
    assert json.loads(entry.body)["actor"] == "provider"


def test_a_session_of_another_name_stays(signed_in):
    assert tell(notice(signed_in.provider, sid="there-2")).status_code == 200

    assert is_in(signed_in)


def test_a_subject_alone_ends_all_of_theirs(signed_in):
    other = Visitor(signed_in.provider)
    signed_in.provider.claims = {"sid": "there-2"}
    other.sign_in()

    tell(notice(signed_in.provider, sid=None, sub="s-1"))

    assert not is_in(signed_in)
    assert not is_in(other)


def test_both_names_must_fit(signed_in):
    tell(notice(signed_in.provider, sub="s-2"))

    assert is_in(signed_in)


@pytest.mark.parametrize(
    "claims",
    [
        pytest.param({"nonce": "n"}, id="an ID token"),
        pytest.param({"events": None}, id="no event"),
        pytest.param({"events": {"other": {}}}, id="another event"),
        pytest.param({"events": {EVENT: 1}}, id="a malformed event"),
        pytest.param({"events": [EVENT]}, id="a list"),
        pytest.param({"jti": None}, id="no jti"),
        pytest.param({"jti": ""}, id="an empty jti"),
        pytest.param({"jti": ["x"]}, id="a jti that is no text"),
        pytest.param({"iat": None}, id="no time"),
        pytest.param({"iat": 1}, id="long ago"),
        pytest.param({"exp": 1}, id="expired"),
        pytest.param({"aud": "netra-globex"}, id="for somebody else"),
        pytest.param({"iss": "http://127.0.0.1:1"}, id="from somebody else"),
        pytest.param({"sid": None, "sub": None}, id="about nobody"),
        pytest.param({"sid": "x" * 256}, id="a name without end"),
        pytest.param({"sub": "s-1\x00"}, id="what PostgreSQL does not read"),
    ],
)
def test_what_is_no_notice_ends_nothing(signed_in, claims):
    answer = tell(notice(signed_in.provider, **claims))

    assert answer.status_code == 400
    assert answer.json() == {"error": "invalid_request"}
    assert is_in(signed_in)


def test_a_notice_counts_once(signed_in):
    token = notice(signed_in.provider)
    tell(token)
    signed_in.provider.claims = {"sid": "there-1"}
    signed_in.sign_in()

    assert tell(token).status_code == 400
    assert is_in(signed_in)


@pytest.mark.parametrize("token", ["", "x", "a.b.c", "x" * 40_000])
def test_what_is_no_token_is_refused(signed_in, token):
    assert tell(token).status_code == 400


def test_an_unsigned_notice_is_refused(signed_in):
    assert tell(unsigned(notice(signed_in.provider))).status_code == 400
    assert is_in(signed_in)


def test_a_foreign_key_is_refused(signed_in):
    signed_in.provider.key_name = "foreign"

    assert tell(notice(signed_in.provider)).status_code == 400
    assert is_in(signed_in)


def test_one_companys_provider_ends_nothing_of_anothers(signed_in, globex):
    make_provider(globex, issuer=signed_in.provider.url)
    token = notice(signed_in.provider, aud="netra-globex")

    assert tell(token, HERE.replace("acme", "globex")).status_code == 200
    assert is_in(signed_in)


def test_an_unknown_provider_and_a_bad_token_look_alike(signed_in):
    unknown = tell("x", HERE.replace("acme", "nobody"))

    assert (unknown.status_code, unknown.json()) == (400, tell("x").json())


def test_only_post_tells(signed_in):
    assert Client().get(HERE).status_code == 405


def test_signing_out_leads_to_the_providers_way_out(signed_in, settings):
    cache.clear()
    signed_in.provider.metadata = {"end_session_endpoint": f"{signed_in.provider.url}/end"}  # fmt: skip

    page = signed_in.client.get("/accounts/logout/")
    answer = signed_in.client.post("/accounts/logout/")

    assert signed_in.provider.url in page["Content-Security-Policy"]
    assert answer["Location"].startswith(f"{signed_in.provider.url}/end?client_id=netra-acme")  # fmt: skip
    assert "post_logout_redirect_uri=" in answer["Location"]
    assert not signed_in.is_signed_in


def test_without_a_way_out_one_leaves_here(signed_in):
    answer = signed_in.client.post("/accounts/logout/")

    assert answer["Location"] == "/accounts/login/"


def test_a_provider_that_is_away_keeps_nobody_signed_in(signed_in, monkeypatch):
    cache.clear()
    signed_in.provider.behave["/.well-known/openid-configuration"] = lambda handler: (
        handler.send_error(503)
    )

    answer = signed_in.client.post("/accounts/logout/")

    assert answer["Location"] == "/accounts/login/"
    assert not signed_in.is_signed_in


@pytest.mark.regression
def test_a_notice_that_could_not_be_followed_may_be_told_again(signed_in, monkeypatch):
    token = notice(signed_in.provider)

    def broken(**_: object) -> int:
        raise UnavailableError

    with monkeypatch.context() as away:
        away.setattr("apps.accounts.actions.end_sign_ins", broken)
        assert tell(token).status_code == 503
    assert is_in(signed_in)

    assert tell(token).status_code == 200
    assert not is_in(signed_in)


@pytest.mark.regression
def test_a_session_whose_name_we_were_not_told_ends_with_its_person(visitor, alice):
    """Some providers name their session in the notice, and not in the ID token."""
    visitor.sign_in()
    assert SignIn.objects.get().sid == ""

    tell(notice(visitor.provider, sid="there-1", sub="s-2"))
    assert is_in(visitor)
    tell(notice(visitor.provider, sid="there-1"))
    assert is_in(visitor) is False
