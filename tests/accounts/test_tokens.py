"""API tokens: limited in number, time and use; shown once; useless the moment they are revoked."""

from __future__ import annotations

import json
import threading
from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from apps.accounts import actions
from apps.accounts.access import Principal, principal_from_token, token_with
from apps.accounts.actions.tokens import LIVE_MOST, TooManyTokensError
from apps.accounts.models import Membership, Token, User
from apps.accounts.permissions import TokenScope
from apps.audits.acts import Act
from apps.audits.models import Entry
from apps.core.database import close, write_now
from apps.core.errors import (
    InvalidInputError,
    NotAllowedError,
    NotAuthenticatedError,
    RateLimitedError,
)
from tests.accounts.sessions.test_sessions import age, by_password
from tests.doors import API, JSON, problem_of
from tests.factories import TESTER, TESTS

pytestmark = pytest.mark.security
PAGE = "/accounts/tokens/"


def make(who: Principal, **values: object) -> str:
    user = User.objects.get(pk=who.user_id)
    return write_now(
        who.scope,
        lambda: actions.create_token(
            actor=TESTER, user=user, organisation_id=who.organisation_id, **values
        ),
    )


def bearer(secret: str) -> Client:
    return Client(headers={"Authorization": f"Bearer {secret}"})


def count() -> int:
    with TESTS:
        return Token.objects.count()


# -- made ------------------------------------------------------------------------------


def test_a_token_lasts_ninety_days_and_is_told(alice_principal, acme):
    secret = make(alice_principal, scopes=["chat"])

    with TESTS:
        token = token_with(secret)
        body = Entry.objects.get(act=Act.TOKEN_CREATED).body
    assert token.expires_at - token.created_at == timedelta(days=90)
    told = json.loads(body)
    assert told["organisation"] == str(acme.pk)
    assert told["details"]["scopes"] == ["chat"]
    assert secret not in body


@pytest.mark.parametrize("lifetime", [timedelta(days=366), timedelta(0)])
def test_no_token_lasts_longer_than_a_year_or_no_time(alice_principal, lifetime):
    with pytest.raises(InvalidInputError):
        make(alice_principal, lifetime=lifetime)

    assert count() == 0


def test_an_unknown_scope_is_refused(alice_principal):
    with pytest.raises(InvalidInputError, match="everything"):
        make(alice_principal, scopes=["everything"])


def test_one_person_has_so_many_live_tokens_and_no_more(alice_principal, bob_principal):
    secrets = [make(alice_principal) for _ in range(LIVE_MOST)]

    with pytest.raises(TooManyTokensError):
        make(alice_principal)

    make(bob_principal)
    with TESTS:
        actions.revoke_token(actor=TESTER, token=token_with(secrets[0]))
    make(alice_principal)
    with TESTS:
        Token.objects.filter(user=alice_principal.user_id).update(
            expires_at=timezone.now()
        )
    make(alice_principal)


@pytest.mark.regression
def test_two_at_once_do_not_share_the_last_place(committed, alice_principal):
    for _ in range(LIVE_MOST - 1):
        make(alice_principal)
    told: list[str] = []
    gate = threading.Barrier(4)

    def one_more() -> None:
        gate.wait(10)
        try:
            make(alice_principal)
            told.append("made")
        except TooManyTokensError:
            told.append("refused")
        finally:
            from django.db import connection

            connection.close()

    threads = [threading.Thread(target=one_more) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    close()

    assert sorted(told) == ["made", "refused", "refused", "refused"]
    assert count() == LIVE_MOST


def test_making_and_revoking_without_end_is_stopped(alice_principal, monkeypatch):
    monkeypatch.setattr("apps.accounts.actions.tokens.HOURLY_MOST", 3)
    for _ in range(3):
        with TESTS:
            actions.revoke_token(actor=TESTER, token=token_with(make(alice_principal)))

    with pytest.raises(RateLimitedError):
        make(alice_principal)


# -- used ------------------------------------------------------------------------------

DOORS = {
    "threads/": TokenScope.CHAT,
    "executions/": TokenScope.CHAT,
    "agents/": TokenScope.CHAT,
    "usage/": TokenScope.USAGE_READ,
}


@pytest.mark.parametrize("scope", list(TokenScope))
def test_a_limited_token_opens_its_own_doors_only(alice_principal, scope):
    client = bearer(make(alice_principal, scopes=[scope.value]))

    opened = {door: client.get(API + door).status_code for door in DOORS}

    assert opened == {
        door: 200 if needed is scope else 403 for door, needed in DOORS.items()
    }
    assert client.get(f"{API}me/").status_code == 200


def test_a_refusal_says_that_it_is_the_token(alice_principal):
    client = bearer(make(alice_principal, scopes=["chat"]))

    problem = problem_of(client.get(f"{API}usage/"))

    assert problem["code"] == "token_limited"


def test_reading_usage_is_not_writing_it(alice_principal):
    readers = bearer(make(alice_principal, scopes=["usage:read"]))
    writers = bearer(make(alice_principal, scopes=["usage:write"]))

    assert readers.post(f"{API}usage/", [], content_type=JSON).status_code == 403
    assert writers.post(f"{API}usage/", [], content_type=JSON).status_code != 403
    assert writers.get(f"{API}usage/").status_code == 403


def test_a_limited_token_keeps_no_tokens(alice_principal):
    client = bearer(make(alice_principal, scopes=["chat"]))

    assert client.post(f"{API}tokens/", {}, content_type=JSON).status_code == 403
    assert client.get(f"{API}tokens/").status_code == 403
    assert count() == 1


def test_a_token_that_a_token_makes_does_not_outlive_it(alice_principal):
    client = bearer(make(alice_principal, lifetime=timedelta(days=2)))

    made = client.post(f"{API}tokens/", {"days": 365}, content_type=JSON).json()

    with TESTS:
        child = Token.objects.get(pk=made["id"])
    assert child.expires_at - timezone.now() <= timedelta(days=2)


def test_a_session_makes_one_over_the_api_after_a_fresh_sign_in_only(alice):
    client = by_password(alice)
    age(client, authenticated_at=timedelta(minutes=6))

    answer = client.post(f"{API}tokens/", {}, content_type=JSON)

    assert (answer.status_code, answer.json()["code"]) == (403, "step_up_needed")
    assert count() == 0


def test_viewers_have_none(alice, alice_principal):
    secret = make(alice_principal)
    with TESTS:
        Membership.objects.update(role="viewer")

    answer = bearer(secret).post(f"{API}tokens/", {}, content_type=JSON)

    assert answer.status_code == 403
    assert by_password(alice).get(PAGE).status_code == 403


# -- the page --------------------------------------------------------------------------


def test_the_page_shows_the_secret_once(alice):
    client = by_password(alice)

    page = client.post(PAGE, {"name": "CI", "days": "30", "scopes": ["chat"]})

    with TESTS:
        token = Token.objects.get()
    text = page.content.decode()
    secret = next(w for w in text.replace("<", '"').replace(">", '"').split('"') if w.startswith("ntr_"))  # fmt: skip
    assert token_is(secret, token)
    assert f'data-copy="{secret}"' in text
    assert "no-store" in page["Cache-Control"]
    again = client.get(PAGE).content.decode()
    assert secret not in again
    assert token.prefix in again
    assert (token.name, token.scopes) == ("CI", ["chat"])


def token_is(secret: str, token: Token) -> bool:
    return principal_from_token(secret).user_id == token.user_id


@pytest.mark.parametrize(
    "values", [{"days": "0"}, {"days": "366"}, {"scopes": ["all"]}, {"name": ""}]
)
def test_the_page_says_what_is_wrong_and_makes_nothing(alice, values):
    answer = by_password(alice).post(PAGE, {"name": "CI", "days": "30", **values})

    assert answer.status_code == 422
    assert "errorlist" in answer.content.decode()
    assert count() == 0


def test_the_page_tells_when_there_are_enough(alice, alice_principal):
    for _ in range(LIVE_MOST):
        make(alice_principal)

    answer = by_password(alice).post(PAGE, {"name": "CI", "days": "30"})

    assert answer.status_code == 409
    assert "Revoke one" in answer.content.decode()


def test_a_name_is_text_and_nothing_else(alice):
    client = by_password(alice)

    page = client.post(PAGE, {"name": "<script>x</script>", "days": "30"})

    assert "<script>x" not in page.content.decode()


def test_revoking_makes_it_useless_at_once(alice, alice_principal):
    secret = make(alice_principal)
    with TESTS:
        token = token_with(secret)

    by_password(alice).post(f"{PAGE}{token.pk}/")

    with pytest.raises(NotAuthenticatedError):
        principal_from_token(secret)
    with TESTS:
        assert Entry.objects.filter(act=Act.TOKEN_REVOKED).count() == 1


def test_a_foreign_token_is_not_there(bob, alice_principal):
    secret = make(alice_principal)
    with TESTS:
        token = token_with(secret)

    answer = by_password(bob).post(f"{PAGE}{token.pk}/")

    assert answer.status_code == 404
    assert principal_from_token(secret)


def test_strangers_are_led_to_the_sign_in(client, db):
    assert "/accounts/login/" in client.get(PAGE)["Location"]


def test_revoking_twice_is_told_once(alice_principal):
    with TESTS:
        token = token_with(make(alice_principal))
        for _ in range(2):
            actions.revoke_token(actor=TESTER, token=token)

        assert Entry.objects.filter(act=Act.TOKEN_REVOKED).count() == 1


@pytest.mark.regression
@pytest.mark.parametrize("become", ["viewer", "stranger"])
def test_whoever_lost_their_place_on_the_way_gets_no_token(bob, bob_principal, become):
    """The door has looked at the role before; the row is locked only here."""
    with TESTS:
        own = Membership.objects.filter(user=bob)
        own.update(role="viewer") if become == "viewer" else own.delete()

    with pytest.raises(NotAllowedError):
        make(bob_principal)

    assert count() == 0
