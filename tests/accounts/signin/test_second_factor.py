"""Staff need a second factor; whoever has one is asked for it; changing it ends sessions elsewhere."""

from __future__ import annotations

import json

import pytest
from allauth.mfa.models import Authenticator
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from allauth.mfa.totp.internal.auth import (  # fmt: skip
    TOTP,
    format_hotp_value,
    hotp_value,
    yield_hotp_counters_from_time,
)
from allauth.mfa.utils import encrypt
from django.core.cache import cache
from django.test import Client

from apps.accounts.credentials import Credential, SecondFactorNeededError, principal_of
from apps.accounts.models import SignIn, User
from apps.audits.acts import Act
from apps.audits.models import Entry
from tests.accounts.sessions.test_sessions import by_password, is_in, row_of
from tests.factories import PASSWORD, TESTS

pytestmark = pytest.mark.security
SECRET = "JBSWY3DPEHPK3PXP"
SET_UP = "/accounts/2fa/"


@pytest.fixture
def strict(settings):
    """As outside the demo, whose staff have passwords only."""
    settings.NETRA_DEMO = False


def code(secret: str = SECRET) -> str:
    counter = next(iter(yield_hotp_counters_from_time()))
    return format_hotp_value(hotp_value(secret, counter))


def with_totp(user: User) -> None:
    TOTP.activate(user, SECRET)


def answer_code(client: Client, value: str):
    return client.post(f"{SET_UP}authenticate/", {"code": value})


def test_staff_without_one_reach_only_its_page(strict, support):
    client = by_password(support)

    for path in ("/admin/", "/chat/", "/accounts/tokens/", "/accounts/sessions/"):
        assert client.get(path)["Location"] == SET_UP, path
    assert client.post("/accounts/sessions/others/").status_code == 403
    problem = client.get("/api/v1/me/")
    assert (problem.status_code, problem.json()["code"]) == (
        403,
        "second_factor_needed",
    )
    page = client.get(SET_UP).content.decode()
    assert "this page is all that you can open" in page
    assert client.get("/accounts/logout/").status_code == 200


def test_nor_do_they_get_a_socket(strict, support):
    key = by_password(support).session.session_key

    with pytest.raises(SecondFactorNeededError):
        principal_of(Credential("session", key), None)


def test_the_demos_staff_have_passwords_only(support):
    assert by_password(support).get("/admin/").status_code == 200


def test_members_are_not_asked_for_one(strict, alice):
    assert is_in(by_password(alice))


def test_setting_one_up_opens_the_rest_and_ends_sessions_elsewhere(
    strict, support, django_capture_on_commit_callbacks
):
    here, there = by_password(support), by_password(support)
    page = here.get(f"{SET_UP}totp/activate/").content.decode()
    secret = here.session["mfa.totp.secret"]
    assert secret in page

    with django_capture_on_commit_callbacks(execute=True):
        here.post(f"{SET_UP}totp/activate/", {"code": code(secret)})

    assert here.get("/admin/").status_code == 200
    assert row_of(here).second_factor == "totp"
    assert not is_in(there)
    with TESTS:
        entries = Entry.objects.filter(act=Act.SECOND_FACTOR_CHANGED)
        told = [json.loads(entry.body)["details"] for entry in entries]
    assert {"change": "added", "kind": "totp", "sessions_ended": 1} in told


def test_whoever_has_one_is_asked_for_it(strict, support):
    with_totp(support)
    client = by_password(support)
    assert "_auth_user_id" not in client.session
    assert not SignIn.objects.exists()

    answer_code(client, "000000")
    assert "_auth_user_id" not in client.session
    answer_code(client, code())

    assert row_of(client).second_factor == "totp"
    assert client.get("/admin/").status_code == 200


def test_a_code_for_recovery_counts(strict, support):
    with_totp(support)
    codes = RecoveryCodes.activate(support).get_unused_codes()
    client = by_password(support)

    answer_code(client, codes[0])

    assert row_of(client).second_factor == "recovery_codes"
    assert client.get("/admin/").status_code == 200


def test_without_the_factor_the_session_is_weak_again(strict, support):
    with_totp(support)
    client = by_password(support)
    answer_code(client, code())

    client.post(f"{SET_UP}totp/deactivate/")

    assert not Authenticator.objects.filter(user=support).exists()
    assert client.get("/admin/")["Location"] == SET_UP


def test_a_factor_confirms_who_one_is(strict, support):
    with_totp(support)
    client = by_password(support)
    answer_code(client, code())
    SignIn.objects.update(authenticated_at=None)
    answer = client.get("/accounts/confirm/?next=/accounts/tokens/")
    assert answer["Location"].startswith(f"{SET_UP}reauthenticate/")
    before = client.session.session_key
    cache.clear()  # or the same code would not count twice

    client.post(answer["Location"], {"code": code(), "next": "/accounts/tokens/"})

    assert client.session.session_key != before
    assert row_of(client).authenticated_at is not None


def test_seeds_are_not_stored_as_they_are(support):
    with_totp(support)

    kept = Authenticator.objects.get(user=support).data
    assert SECRET not in json.dumps(kept)
    assert encrypt(SECRET) != SECRET


@pytest.mark.parametrize(
    "path",
    [
        "",
        "totp/activate/",
        "totp/deactivate/",
        "recovery-codes/generate/",
        "webauthn/",
        "webauthn/add/",
        "reauthenticate/",
        "webauthn/reauthenticate/",
    ],
)
def test_the_pages_wear_our_frame_without_inline_code(support, path):
    client = by_password(support)
    if path != "totp/activate/":
        with_totp(support)

    answer = client.get(SET_UP + path, follow=True)

    page = answer.content.decode()
    assert answer.status_code == 200
    assert 'class="brand"' in page
    assert " style=" not in page
    assert "onclick" not in page


def test_a_wrong_password_is_not_told_from_a_missing_factor(strict, support):
    with_totp(support)
    client = Client()

    answer = client.post(
        "/accounts/login/", {"login": support.email, "password": PASSWORD + "!"}
    )

    assert "2fa" not in answer.get("Location", "")
