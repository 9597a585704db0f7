"""Guessing is slow: by account, by address, by person; and the answer says when to come back."""

from __future__ import annotations

import pytest
from django.test import Client, override_settings

from tests.doors import API, JSON, api_client, problem_of
from tests.factories import PASSWORD

pytestmark = [pytest.mark.security, pytest.mark.integration]

LOGIN = "/accounts/login/"
RESET = "/accounts/password/reset/"


def sign_in(email: str, password: str, address: str = "203.0.113.9"):
    return Client().post(
        LOGIN, {"login": email, "password": password}, REMOTE_ADDR=address
    )


def test_wrong_passwords_for_one_account_end_from_wherever_they_come(bob) -> None:
    tries = [
        sign_in(bob.email, "wrong horse battery", f"203.0.113.{n}").status_code
        for n in range(6)
    ]
    right = sign_in(bob.email, PASSWORD, "203.0.113.200")

    assert tries == [200, 200, 200, 200, 200, 429]
    assert right.status_code == 429
    assert int(right["Retry-After"]) == 300


def test_wrong_passwords_from_one_address_end_whatever_the_account(db) -> None:
    tries = [
        sign_in(f"nobody{n}@acme.example", "wrong horse battery").status_code
        for n in range(11)
    ]

    assert tries == [200] * 10 + [429]


def test_who_signs_in_rightly_is_not_counted(bob) -> None:
    assert [sign_in(bob.email, PASSWORD).status_code for _ in range(8)] == [302] * 8


def test_the_page_says_that_it_is_too_many_and_when_to_come_back(db) -> None:
    for n in range(11):
        answer = sign_in(f"nobody{n}@acme.example", "wrong horse battery")

    assert "Too many" in answer.content.decode()
    assert answer["Retry-After"] == "300"
    assert "no-store" in answer["Cache-Control"]


def test_looking_for_a_company_is_limited(db) -> None:
    answers = [
        Client().post("/accounts/company/", {"email": f"x{n}@acme.example"})
        for n in range(31)
    ]

    assert answers[0].status_code == 302
    assert answers[-1].status_code == 429
    assert answers[-1]["Retry-After"] == "300"


def test_asking_for_a_new_password_is_limited_by_account_and_address(bob) -> None:
    ours = [Client().post(RESET, {"email": bob.email}).status_code for _ in range(4)]
    others = [
        Client().post(RESET, {"email": f"x{n}@acme.example"}).status_code
        for n in range(8)
    ]

    assert ours == [302, 302, 302, 429]
    assert others[-1] == 429


def test_nobody_makes_tokens_without_end(bob_principal, mallory_principal) -> None:
    bob, mallory = api_client(bob_principal), api_client(mallory_principal)

    made = [bob.post(f"{API}tokens/", {}, content_type=JSON) for _ in range(11)]

    assert [m.status_code for m in made[:10]] == [201] * 10
    assert problem_of(made[10])["code"] == "rate_limited"
    assert 0 < int(made[10]["Retry-After"]) <= 3600
    assert bob.get(f"{API}tokens/").status_code == 200
    assert mallory.post(f"{API}tokens/", {}, content_type=JSON).status_code == 201


@override_settings(NETRA_LIMITS=False)
def test_benchmarks_lift_the_limit(bob_principal) -> None:
    bob = api_client(bob_principal)

    assert {
        bob.post(f"{API}tokens/", {}, content_type=JSON).status_code for _ in range(12)
    } == {201}
