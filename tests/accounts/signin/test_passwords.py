"""Local passwords: long, not common, hashed with Argon2; what was hashed before still opens the door."""

from __future__ import annotations

import secrets

import pytest
from django.contrib.auth import authenticate
from django.contrib.auth.hashers import check_password, make_password
from django.contrib.auth.password_validation import (
    CommonPasswordValidator,
    validate_password,
)
from django.core.exceptions import ValidationError
from django.test import RequestFactory

from apps.accounts.models import User
from apps.accounts.signin import passwords
from netra.settings import people
from tests.factories import PASSWORD

pytestmark = pytest.mark.security


def refusals_of(password: str, user: User | None = None) -> set[str]:
    try:
        validate_password(password, user)
    except ValidationError as error:
        return {each.code for each in error.error_list}
    return set()


@pytest.mark.parametrize(
    "password",
    [
        PASSWORD,
        "only small letters here",  # no kinds of characters are asked for
        "847261950372615",
        "naïve Ελλάδα 東京 kaffee",
        "x" + "ypqmzkvwtrbnsdf",
        "correct horse battery " * 20,
    ],
)
def test_long_and_odd_is_good_enough(password: str) -> None:
    assert refusals_of(password) <= set()


@pytest.mark.parametrize("password", ["", "short", "fourteen chars"])
def test_less_than_fifteen_characters_are_refused(password: str) -> None:
    assert "password_too_short" in refusals_of(password)


def test_a_password_that_would_take_minutes_to_look_at_is_refused(monkeypatch) -> None:
    """The square of two million characters is half an hour of one processor, for one request."""
    looked_at: list[str] = []
    monkeypatch.setattr(passwords, "_unit", lambda text: looked_at.append(text) or text)

    assert refusals_of(secrets.token_hex(600)) == {"password_too_long"}
    assert looked_at == []


@pytest.mark.parametrize(
    "password",
    [
        "passwordpassword",
        "password12345678",
        "Password!!!!!!!!",
        "aaaaaaaaaaaaaaaa",
        "1234567890123456",
        "098765432109876543",
        "qwertyuiopasdfghjkl",
        "zyxwvutsrqponmlkj",
        "iloveyou!iloveyou!",
        "monkeydragonball",
        "                    ",
        "!!!!!!!!!!!!!!!!",
    ],
)
def test_a_common_password_made_longer_is_still_common(password: str) -> None:
    assert "password_stretched" in refusals_of(password)


def test_far_more_than_three_thousand_common_ones_are_known() -> None:
    known = CommonPasswordValidator().passwords
    stretched = [f"{p}{p}{p}"[:40] for p in sorted(known) if len(p) >= 5][:4000]

    assert len(known) > 19_000
    assert [p for p in stretched if len(p) >= 15 and not refusals_of(p)] == []


def test_what_a_machine_made_up_is_never_refused() -> None:
    assert not any(refusals_of(secrets.token_urlsafe(12)) for _ in range(200))


def test_one_s_own_address_is_no_password(alice) -> None:
    assert "password_too_similar" in refusals_of("alice@acme.example", alice)


def test_new_passwords_are_hashed_with_argon2(settings) -> None:
    settings.PASSWORD_HASHERS = people.PASSWORD_HASHERS

    made = make_password(PASSWORD)

    assert made.startswith("argon2$argon2id$v=19$m=19456,t=2,p=1$")
    assert check_password(PASSWORD, made)
    assert not check_password(PASSWORD + "!", made)


def test_a_password_of_before_still_works_and_is_hashed_anew(settings, alice) -> None:
    settings.PASSWORD_HASHERS = people.PASSWORD_HASHERS
    alice.password = make_password(PASSWORD, hasher="pbkdf2_sha256")
    alice.save(update_fields=["password"])
    request = RequestFactory().post("/accounts/login/")

    known = authenticate(request, email=alice.email, password=PASSWORD)

    alice.refresh_from_db()
    assert known == alice
    assert alice.password.startswith("argon2$")
    assert authenticate(request, email=alice.email, password=PASSWORD) == alice
