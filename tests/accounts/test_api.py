"""How the API learns who asks, and that a view runs in that scope and no other."""

from __future__ import annotations

import pytest
from django.test import Client

from apps.accounts import actions
from apps.accounts.models import Token
from apps.core.tenancy import NoScopeError, current_scope
from tests.factories import TESTER, TESTS, principal

pytestmark = [pytest.mark.security, pytest.mark.urls("tests.accounts.doors")]
MINE = "/api/v1/mine/"


def bearer(user, place) -> dict[str, str]:
    with TESTS:
        secret = actions.create_token(actor=TESTER, user=user, organisation_id=place.pk)
    return {"Authorization": f"Bearer {secret}"}


@pytest.fixture
def signed_in(alice) -> Client:
    client = Client(enforce_csrf_checks=True)
    client.force_login(alice)
    return client


def test_a_token_opens_its_own_organisation_only(client, alice, bob, mallory, acme):
    answer = client.get(MINE, headers=bearer(alice, acme)).json()

    assert answer["organisation"] == "acme"
    assert answer["scope"] == str(acme.pk)
    assert answer["members"] == ["alice@acme.example", "bob@acme.example"]


def test_the_scope_is_closed_after_the_view(client, alice, acme):
    client.get(MINE, headers=bearer(alice, acme))

    with pytest.raises(NoScopeError):
        current_scope()


@pytest.mark.parametrize(
    "header",
    [
        "Bearer ntr_invented",
        "Bearer ",
        "Bearer",
        "Basic YWxpY2U6eA==",
        "ntr_naked",
        "Bearer a b c",
    ],
)
def test_a_bad_credential_is_refused_even_beside_a_good_session(signed_in, header):
    response = signed_in.get(MINE, headers={"Authorization": header})

    assert response.status_code == 401
    assert response["Content-Type"] == "application/problem+json"
    assert response["WWW-Authenticate"].startswith("Bearer")
    assert response.json()["code"] == "not_authenticated"
    assert response.json()["receipt_id"] is None


def test_without_credential_one_is_asked_for(client, db):
    response = client.get(MINE)

    assert (response.status_code, response.json()["code"]) == (401, "not_authenticated")


def test_a_session_opens_the_members_organisation(signed_in, bob, mallory):
    assert signed_in.get(MINE).json()["members"] == [
        "alice@acme.example",
        "bob@acme.example",
    ]


def test_a_session_cannot_write_without_csrf(signed_in):
    response = signed_in.post(
        MINE, {"name": "x", "parts": []}, content_type="application/json"
    )

    assert response.status_code == 403


def test_a_token_needs_no_csrf(alice, acme):
    response = Client(enforce_csrf_checks=True).post(
        MINE,
        {"name": "x", "parts": []},
        content_type="application/json",
        headers=bearer(alice, acme),
    )

    assert response.status_code == 200


@pytest.mark.parametrize("slug", ["globex", "there-is-none"])
def test_a_token_asks_for_no_other_organisation(client, alice, acme, globex, slug):
    headers = bearer(alice, acme)

    by_header = client.get(MINE, headers={**headers, "Netra-Organisation": slug})
    by_query = client.get(MINE, {"organisation": slug}, headers=headers)

    assert (by_header.status_code, by_query.status_code) == (404, 404)
    assert by_header.json()["receipt_id"]


def test_naming_ones_own_organisation_is_fine(client, alice, acme):
    headers = {**bearer(alice, acme), "Netra-Organisation": "acme"}

    assert client.get(MINE, headers=headers).status_code == 200


@pytest.mark.parametrize("slug", ["acme", "there-is-none"])
def test_a_session_asks_for_no_foreign_organisation(client, acme, mallory, slug):
    client.force_login(mallory)

    response = client.get(MINE, headers={"Netra-Organisation": slug})

    assert response.status_code == 404
    assert response["Content-Type"] == "application/problem+json"
    assert response.json()["receipt_id"]


def test_a_session_without_organisation_is_told_so(client, alice, acme):
    acme.status = "suspended"
    acme.save()
    client.force_login(alice)

    response = client.get(MINE)

    assert (response.status_code, response.json()["detail"]) == (
        403,
        "You belong to no active organisation.",
    )


def test_the_use_of_a_token_is_noted(client, alice, acme):
    headers = bearer(alice, acme)
    client.get(MINE, headers=headers)
    with TESTS:
        first = Token.objects.get().last_used_at
    client.get(MINE, headers=headers)

    assert first is not None
    with TESTS:
        assert Token.objects.get().last_used_at == first, (
            "noted at most once in five minutes"
        )


def test_a_principal_is_what_the_view_sees(alice, acme, client):
    assert (
        principal(alice, acme).organisation_slug
        == client.get(MINE, headers=bearer(alice, acme)).json()["organisation"]
    )
