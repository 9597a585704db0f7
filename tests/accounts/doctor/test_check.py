"""The set-up check: each fault of a provider's description, its keys, its clock and its row is a finding, never a 500."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from apps.accounts.admission import SignInRefusedError
from apps.accounts.models import Domain, IdentityProvider, Organisation
from apps.accounts.oidc.metadata import metadata_of
from tests.accounts.doctor.examiner import changed, tables
from tests.accounts.lying_provider import (
    KEYS,
    METADATA,
    answer,
    answer_json,
    public_jwk,
)
from tests.factories import TESTS

pytestmark = pytest.mark.security
SOUND = {
    "code_challenge_methods_supported": ["S256", "plain"],
    "id_token_signing_alg_values_supported": ["RS256", "HS256", "none"],
    "authorization_response_iss_parameter_supported": True,
    "token_endpoint_auth_methods_supported": ["client_secret_basic"],
    "backchannel_logout_supported": True,
}


def change(**values: object) -> None:
    with TESTS:
        IdentityProvider.objects.update(**values)


@pytest.fixture
def sound(liar) -> None:
    """A provider with which nothing is wrong."""
    liar.metadata = {**SOUND, "end_session_endpoint": f"{liar.url}/leave"}


@pytest.mark.usefixtures("sound")
def test_of_a_sound_provider_everything_is_in_order(tester, liar):
    change(secret_expires_at=timezone.now() + timedelta(days=400))
    before = tables()

    found = tester.check()

    assert {code for code, (grade, _) in found.items() if grade != "ok"} == set()
    assert set(found) == {
        "issuer", "endpoints", "pkce", "algorithms", "answer_issuer", "token_auth", "end_session",
        "back_channel", "keys", "clock", "enabled", "domains", "secret_end",
    }  # fmt: skip
    assert sorted(liar.asked) == [METADATA, KEYS]
    assert changed(before) == set()


def test_it_tells_what_to_enter_at_the_provider_with_a_button_to_copy(tester):
    page = tester.client.post(f"{tester.admin}check/").content.decode()

    for path in ("login/callback/", "backchannel-logout/"):
        url = f"http://testserver/accounts/oidc/acme/{path}"
        assert f'data-copy="{url}"' in page


def test_the_address_to_enter_is_the_one_that_sign_in_sends(tester):
    tester.start()
    page = tester.client.post(f"{tester.admin}check/").content.decode()

    assert f'data-copy="{tester.asked["redirect_uri"]}"' in page


@pytest.mark.parametrize(
    ("told", "code", "grade"),
    [
        ({"issuer": "https://evil.example"}, "issuer", "fail"),
        ({"issuer": None}, "issuer", "fail"),
        ({"token_endpoint": None}, "endpoints", "fail"),
        ({"authorization_endpoint": 7}, "endpoints", "fail"),
        ({"token_endpoint": "ftp://acme.example/"}, "endpoints", "fail"),
        ({"userinfo_endpoint": "https://user:pw@acme.example/"}, "endpoints", "fail"),
        ({"end_session_endpoint": ["x"]}, "endpoints", "fail"),
        ({"code_challenge_methods_supported": ["plain"]}, "pkce", "fail"),
        ({"code_challenge_methods_supported": None}, "pkce", "unknown"),
        ({"code_challenge_methods_supported": "S256"}, "pkce", "unknown"),
        ({"id_token_signing_alg_values_supported": ["none"]}, "algorithms", "fail"),
        ({"id_token_signing_alg_values_supported": ["HS256"]}, "algorithms", "fail"),
        ({"id_token_signing_alg_values_supported": [None, 7]}, "algorithms", "fail"),
        ({"id_token_signing_alg_values_supported": {}}, "algorithms", "unknown"),
        (
            {"authorization_response_iss_parameter_supported": "yes"},
            "answer_issuer",
            "warn",
        ),
        (
            {"token_endpoint_auth_methods_supported": ["private_key_jwt"]},
            "token_auth",
            "fail",
        ),
        (
            {"token_endpoint_auth_methods_supported": ["client_secret_post"]},
            "token_auth",
            "fail",
        ),
        ({"token_endpoint_auth_methods_supported": None}, "token_auth", "ok"),
        ({"end_session_endpoint": ""}, "end_session", "warn"),
        ({"backchannel_logout_supported": False}, "back_channel", "warn"),
        ({"jwks_uri": None}, "keys", "fail"),
    ],
)
@pytest.mark.usefixtures("sound")
def test_each_fault_of_the_description_is_a_finding(tester, liar, told, code, grade):
    liar.metadata |= told

    found = tester.check()

    assert found[code][0] == grade, found[code]


@pytest.mark.parametrize(
    "told",
    [
        {"issuer": "https://evil.example"},
        {"token_endpoint": None},
        {"authorization_endpoint": "javascript:alert(1)"},
        {"end_session_endpoint": 7},
        {"jwks_uri": "ftp://acme.example"},
    ],
)
@pytest.mark.usefixtures("sound")
def test_what_sign_in_refuses_is_a_fault(tester, liar, row, told):
    liar.metadata |= told
    with pytest.raises(SignInRefusedError):
        metadata_of(row)

    assert "fail" in {grade for grade, _ in tester.check().values()}


@pytest.mark.parametrize(
    ("behave", "said"),
    [
        (lambda h: answer(h, b"", status=500), "cannot be read"),
        (lambda h: answer(h, b"[]"), "cannot be read"),
        (lambda h: answer(h, b"[" * 100_000), "cannot be read"),
        (lambda h: answer(h, b"x" * 300_000), "far too much"),
        (
            lambda h: answer(h, b"", status=302, Location="http://127.0.0.1:1/"),
            "to another address",
        ),
        (lambda h: h.wfile.write(b"nonsense\r\n\r\n"), "answered with something"),
    ],
    ids=["broken", "a list", "deep", "large", "redirects", "no HTTP"],
)
def test_a_provider_that_misbehaves_is_a_finding(tester, liar, behave, said):
    liar.behave[METADATA] = behave

    found = tester.check()

    assert found["metadata"][0] == "fail"
    assert said in found["metadata"][1]
    assert {"enabled", "domains", "secret_end"} < set(found)


def test_one_that_is_gone_is_a_finding(tester):
    change(issuer="http://127.0.0.1:1")

    grade, said = tester.check()["metadata"]

    assert grade == "fail"
    assert "cannot be reached" in said


def test_one_that_keeps_us_waiting_is_a_finding(tester, liar, monkeypatch):
    monkeypatch.setattr("apps.accounts.outbound.READ_SECONDS", 0.2)
    liar.behave[METADATA] = lambda handler: handler.rfile.read(1)

    assert "too long" in tester.check()["metadata"][1]


def test_an_address_inside_is_never_asked(tester, monkeypatch):
    monkeypatch.setattr("apps.accounts.outbound._look_up", lambda host, _: [host])
    change(issuer="https://10.0.0.1")

    assert "does not fetch from" in tester.check()["metadata"][1]


@pytest.mark.usefixtures("sound")
def test_nor_is_one_that_the_provider_names(tester, liar, monkeypatch):
    monkeypatch.setattr("apps.accounts.outbound._look_up", lambda host, _: [host])
    liar.metadata["jwks_uri"] = "https://169.254.169.254/"

    grade, said = tester.check()["keys"]

    assert grade == "fail"
    assert "does not fetch from" in said


def test_an_issuer_of_many_companies_is_asked_nothing(tester, liar):
    change(preset="entra", issuer="https://login.microsoftonline.com/common/v2.0")

    grade, said = tester.check()["issuer"]

    assert grade == "fail"
    assert "one tenant" in said
    assert liar.asked == []


@pytest.mark.parametrize(
    "keys",
    [
        [],
        None,
        "keys",
        [7, None],
        [{"kty": "RSA"}],
        [public_jwk("RS256", "short")],
        [public_jwk(use="enc")],
        [{**public_jwk(), "key_ops": 5}],
    ],
)
@pytest.mark.usefixtures("sound")
def test_keys_with_which_nothing_can_be_checked_are_a_fault(tester, liar, keys):
    liar.keys = keys

    assert tester.check()["keys"][0] == "fail"


@pytest.mark.usefixtures("sound")
def test_keys_that_cannot_be_fetched_are_a_fault(tester, liar):
    liar.behave[KEYS] = lambda handler: answer(handler, b"", status=404)

    assert tester.check()["keys"][0] == "fail"


@pytest.mark.parametrize(
    ("date", "grade"),
    [
        (timedelta(0), "ok"),
        (timedelta(seconds=-40), "warn"),
        (timedelta(minutes=5), "fail"),
        ("yesterday", "unknown"),
        ("Mon, 99 Foo 2026 99:99:99 GMT", "unknown"),
    ],
)
@pytest.mark.usefixtures("sound")
def test_the_clocks_are_compared(tester, liar, date, grade):
    told = date
    if isinstance(date, timedelta):
        told = (timezone.now() + date).strftime("%a, %d %b %Y %H:%M:%S GMT")

    def behave(handler) -> None:
        handler.date_time_string = lambda timestamp=None: told
        answer_json(handler, liar.document(METADATA))

    liar.behave[METADATA] = behave

    assert tester.check()["clock"][0] == grade


@pytest.mark.parametrize(
    ("values", "code", "grade"),
    [
        ({"enabled": False}, "enabled", "warn"),
        ({"secret": ""}, "token_auth", "warn"),
        ({"secret_expires_at": None}, "secret_end", "unknown"),
        ({"secret_expires_at": -1}, "secret_end", "fail"),
        ({"secret_expires_at": 10}, "secret_end", "warn"),
        ({"ask_userinfo": True}, "endpoints", "fail"),
    ],
)
@pytest.mark.usefixtures("sound")
def test_what_is_set_up_here_is_looked_at_too(tester, liar, values, code, grade):
    days = values.get("secret_expires_at")
    if days is not None:
        values = {"secret_expires_at": timezone.now() + timedelta(days=days)}
    change(**values)
    liar.metadata["userinfo_endpoint"] = ""

    assert tester.check()[code][0] == grade


@pytest.mark.parametrize("values", [{"proved_at": None}, {"suspended_at": 1}, None])
@pytest.mark.usefixtures("sound")
def test_without_a_domain_that_counts_nobody_comes_in(tester, values):
    with TESTS:
        if values is None:
            Domain.objects.all().delete()
        else:
            moment = timezone.now() if values.get("suspended_at") else None
            Domain.objects.update(**dict.fromkeys(values, moment))

    grade, said = tester.check()["domains"]

    assert grade == "fail"
    assert "nobody comes in" in said


@pytest.mark.usefixtures("sound")
def test_an_organisation_that_is_closed_lets_nobody_in(tester, acme):
    Organisation.objects.filter(pk=acme.pk).update(status="suspended")

    assert tester.check()["enabled"][0] == "fail"


@pytest.mark.usefixtures("sound")
def test_what_the_provider_wrote_is_never_markup(tester, liar):
    liar.metadata["issuer"] = "<script>alert(1)</script>"

    page = tester.client.post(f"{tester.admin}check/").content.decode()

    assert "<script>alert(1)" not in page
    assert "&lt;script&gt;" in page
