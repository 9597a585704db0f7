"""Directory tokens over the API: owners and admins keep them, just confirmed, in their own organisation."""

from __future__ import annotations

import pytest

from apps.accounts.models import Membership, ScimToken
from tests.accounts.scim import Directory, make_token, sealed
from tests.doors import API, JSON, api_client, problem_of, secret_of
from tests.factories import TESTS

pytestmark = pytest.mark.security
TOKENS = f"{API}directory-tokens/"


@pytest.fixture
def confirmed(monkeypatch) -> None:
    """Whoever asks has just proved who they are."""
    monkeypatch.setattr(
        "apps.accounts.directory_resources.stepped_up", lambda request: True
    )


@pytest.fixture
def owner(alice_principal):
    return api_client(alice_principal)


def test_an_owner_makes_a_token_uses_it_and_revokes_it(
    owner, confirmed, client
) -> None:
    made = owner.post(TOKENS, {"name": "Okta", "days": 30}, content_type=JSON)

    shown = made.json()
    assert (made.status_code, made["Cache-Control"]) == (201, "no-store")
    directory = Directory(client)
    client.defaults["HTTP_AUTHORIZATION"] = f"Bearer {shown['token']}"
    assert directory.get("Users").status_code == 200
    listed = owner.get(TOKENS).json()["results"]
    assert [(row["id"], row["name"]) for row in listed] == [(shown["id"], "Okta")]
    assert "token" not in listed[0]
    assert owner.delete(f"{TOKENS}{shown['id']}/").status_code == 204
    assert owner.delete(f"{TOKENS}{shown['id']}/").status_code == 404
    assert directory.get("Users").status_code == 401


@pytest.mark.parametrize("role", ["member", "viewer"])
def test_members_keep_no_directory_tokens(
    bob, acme, bob_principal, confirmed, role: str
) -> None:
    client = api_client(bob_principal)
    with TESTS:
        Membership.objects.filter(user=bob).update(role=role)
    token, _ = make_token(acme)

    answers = [
        client.get(TOKENS),
        client.post(TOKENS, {}, content_type=JSON),
        client.delete(f"{TOKENS}{token.pk}/"),
    ]

    assert [answer.status_code for answer in answers] == [403, 403, 403]
    with TESTS:
        assert ScimToken.objects.filter(revoked_at__isnull=True).count() == 1


def test_whoever_did_not_just_confirm_makes_none(owner) -> None:
    answer = owner.post(TOKENS, {}, content_type=JSON)

    assert problem_of(answer)["code"] == "step_up_needed"
    with TESTS:
        assert not ScimToken.objects.exists()


def test_somebody_elses_confirmation_does_not_stand_in_for_a_tokens_owner(
    client, mallory, alice_principal
) -> None:
    """A stolen API token, sent with the thief's own session, which was begun just now."""
    client.force_login(mallory)
    secret = secret_of(alice_principal)

    answer = client.post(
        TOKENS, {}, content_type=JSON, headers={"Authorization": f"Bearer {secret}"}
    )

    assert problem_of(answer)["code"] == "step_up_needed"
    with TESTS:
        assert not ScimToken.objects.exists()


def test_another_organisations_tokens_do_not_exist(owner, globex) -> None:
    token, _ = make_token(globex)

    assert owner.get(TOKENS).json()["results"] == []
    assert owner.delete(f"{TOKENS}{token.pk}/").status_code == 404
    assert sealed()[:] == []
    with TESTS:
        assert ScimToken.objects.get().revoked_at is None


@pytest.mark.parametrize("days", [0, 731, "x"])
def test_the_days_are_bounded(owner, confirmed, days: object) -> None:
    answer = owner.post(TOKENS, {"days": days}, content_type=JSON)

    assert answer.status_code == 422
