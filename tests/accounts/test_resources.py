"""What the API says about whoever asks, and their own tokens."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta

import pytest
from django.test import Client
from django.utils import timezone

from apps.accounts.models import Membership, Token
from tests.doors import API, JSON, api_client, problem_of, shape_of
from tests.factories import TESTS

pytestmark = pytest.mark.integration
TOKENS = f"{API}tokens/"


@pytest.fixture
def alice_api(alice_principal) -> Client:
    return api_client(alice_principal)


def test_one_learns_who_one_is_and_where(alice_api, alice, acme, globex):
    with TESTS:
        Membership.objects.create(organisation=globex, user=alice, role="viewer")

    me = alice_api.get(f"{API}me/").json()

    assert (me["id"], me["email"]) == (str(alice.pk), "alice@acme.example")
    assert me["organisation"]["slug"] == "acme"
    assert me["role"] == "owner"
    assert [(o["slug"], o["role"], o["current"]) for o in me["organisations"]] == [
        ("acme", "owner", True),
        ("globex", "viewer", False),
    ]
    assert me["limits"]["text_max"] == 32_000


def test_a_new_token_is_shown_once_and_works(alice_api, acme):
    made = alice_api.post(TOKENS, {"name": "CI", "days": 30}, content_type=JSON)

    secret = made.json()["token"]
    assert (made.status_code, made["Cache-Control"]) == (201, "no-store")
    ends = Token.objects.model._meta.get_field("expires_at").to_python(
        made.json()["expires_at"]
    )
    assert timedelta(days=29) < ends - timezone.now() < timedelta(days=31)
    assert (
        Client(headers={"Authorization": f"Bearer {secret}"})
        .get(f"{API}me/")
        .json()["organisation"]["slug"]
        == "acme"
    )
    listed = alice_api.get(TOKENS)
    assert "CI" in [row["name"] for row in listed.json()["results"]]
    assert secret not in listed.content.decode()


@pytest.mark.parametrize("body", [{}, {"name": None, "days": None}])
def test_a_token_needs_neither_name_nor_end(alice_api, body):
    """It ends after 90 days; here with the token that made it, a moment before."""
    made = alice_api.post(TOKENS, body, content_type=JSON).json()

    ends = datetime.fromisoformat(made["expires_at"])
    assert made["name"] == "API"
    assert timedelta(days=89) < ends - timezone.now() < timedelta(days=90)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"days": 0}, "days"),
        ({"days": 10**9}, "days"),
        ({"days": "soon"}, "days"),
        ({"name": "x" * 101}, "name"),
        ({"name": "  "}, "name"),
        ([], ""),
    ],
)
def test_a_token_that_breaks_a_rule_is_not_made(alice_api, body, field):
    response = alice_api.post(TOKENS, body, content_type=JSON)

    problem = problem_of(response)
    assert (response.status_code, problem["errors"][0]["field"]) == (422, field)
    with TESTS:
        assert Token.objects.count() == 1, "only the one that asks"


@pytest.mark.security
def test_a_revoked_token_is_useless_at_once(alice_api):
    made = alice_api.post(TOKENS, {}, content_type=JSON).json()
    other = Client(headers={"Authorization": f"Bearer {made['token']}"})

    revoked = alice_api.delete(f"{TOKENS}{made['id']}/")

    assert revoked.status_code == 204
    assert other.get(f"{API}me/").status_code == 401
    assert alice_api.delete(f"{TOKENS}{made['id']}/").status_code == 404
    assert len(alice_api.get(TOKENS).json()["results"]) == 1


@pytest.mark.security
@pytest.mark.parametrize("stranger", ["mallory", "bob"])
def test_a_foreign_token_looks_exactly_like_an_absent_one(request, alice_api, stranger):
    client = api_client(request.getfixturevalue(f"{stranger}_principal"))
    theirs = alice_api.get(TOKENS).json()["results"][0]["id"]

    foreign = client.delete(f"{TOKENS}{theirs}/")
    absent = client.delete(f"{TOKENS}{uuid.uuid4()}/")

    assert foreign.status_code == 404
    assert shape_of(foreign) == shape_of(absent)
    assert len(client.get(TOKENS).json()["results"]) == 1
    assert alice_api.get(TOKENS).status_code == 200
