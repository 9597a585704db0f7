"""The SCIM door itself: who may enter, what is understood, what is announced, how errors look."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.core.cache import cache
from django.test import Client
from django.utils import timezone

from apps.accounts import actions
from apps.accounts.models import ScimToken, User
from apps.core.tenancy import tenant
from tests.accounts.scim import (
    MEDIA,
    ROOT,
    USER,
    Directory,
    make_token,
    refusal,
    user,
)
from tests.doors import API, secret_of
from tests.factories import TESTER, TESTS

pytestmark = pytest.mark.security
BOB = "bob@acme.example"


@pytest.fixture(autouse=True)
def no_counts() -> None:
    """What earlier tests asked does not count."""
    cache.clear()


def holding(secret: str, scheme: str = "Bearer") -> Directory:
    return Directory(
        Client(
            headers={"Authorization": f"{scheme} {secret}"},
            raise_request_exception=False,
        )
    )


def refused_alike(answer: Any) -> dict[str, Any]:
    assert answer["WWW-Authenticate"].startswith("Bearer")
    return refusal(answer, 401)


# -- who -------------------------------------------------------------------------------


def test_every_address_asks_for_a_token_and_says_nothing_else(acme, db) -> None:
    stranger = Directory(Client(raise_request_exception=False))
    paths = ["Users", "Groups", "Schemas", "ServiceProviderConfig", "nowhere", ""]

    answers = [refused_alike(stranger.get(path)) for path in paths]

    assert all(answer == answers[0] for answer in answers)


@pytest.mark.parametrize("how", ["revoked", "expired", "altered", "basic", "api"])
def test_only_a_live_directory_token_opens_it(acme, alice_principal, how: str) -> None:
    token, secret = make_token(acme, days=1)
    scheme, later = "Bearer", timedelta()
    if how == "revoked":
        with tenant(acme.pk):
            actions.revoke_scim_token(actor=TESTER, token=token)
    elif how == "expired":
        later = timedelta(days=1, seconds=1)
    elif how == "altered":
        secret = secret[:-1] + ("A" if secret[-1] != "A" else "B")
    elif how == "basic":
        scheme = "Basic"
    else:
        secret = secret_of(alice_principal)

    with time_machine.travel(timezone.now() + later):
        answer = holding(secret, scheme).get("Users")

    unknown = holding("nts_" + "x" * 43).get("Users")
    assert refused_alike(answer) == refused_alike(unknown)


def test_a_directory_token_opens_nothing_but_scim(acme, alice) -> None:
    _, secret = make_token(acme)
    client = holding(secret).client

    assert client.get(f"{API}me/").status_code == 401
    assert client.get(f"{API}threads/").status_code == 401
    assert client.get("/admin/").status_code in {302, 403}


def test_a_session_does_not_count_and_so_needs_no_csrf(acme, alice) -> None:
    client = Client(enforce_csrf_checks=True, raise_request_exception=False)
    client.force_login(alice)

    answer = Directory(client).send("POST", "Users", user(BOB))

    refused_alike(answer)
    assert not User.objects.filter(email=BOB).exists()


def test_it_is_noted_when_a_token_was_used_last(acme, okta) -> None:
    okta.get("Users")

    with TESTS:
        assert ScimToken.objects.get().last_used_at is not None


# -- how often -------------------------------------------------------------------------


def test_an_organisation_that_asks_too_often_waits_and_others_do_not(
    okta, foreign, monkeypatch
) -> None:
    monkeypatch.setattr("apps.accounts.scim.authentication.REQUESTS_A_WINDOW", 2)
    with time_machine.travel("2026-05-01T10:00:20Z", tick=False):
        answers = [okta.get("Users") for _ in range(3)]
        other = foreign.get("Users")

    assert [answer.status_code for answer in answers] == [200, 200, 429]
    refusal(answers[2], 429)
    assert answers[2]["Retry-After"] == "40"
    assert other.status_code == 200


def test_guessing_tokens_is_slowed_down(okta, acme, monkeypatch) -> None:
    monkeypatch.setattr("apps.accounts.scim.authentication.FAILURES_A_WINDOW", 2)
    with time_machine.travel("2026-05-01T10:00:20Z", tick=False):
        answers = [holding("nts_" + "x" * 43).get("Users") for _ in range(4)]
        neighbour = okta.get("Users")

    assert [answer.status_code for answer in answers] == [401, 401, 429, 429]
    assert "Retry-After" in answers[3]
    assert (
        neighbour.status_code == 200
    )  # from the same address, with a token that holds


# -- what is understood ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("media", "status"),
    [
        (MEDIA, 201),
        ("application/json", 201),
        ("application/scim+json; charset=utf-8", 201),
        ("text/plain", 415),
        ("application/x-www-form-urlencoded", 415),
        ("", 415),
    ],
)
def test_bodies_are_json(okta, media: str, status: int) -> None:
    answer = okta.client.generic(
        "POST", f"{ROOT}/Users", json.dumps(user(BOB)), content_type=media
    )

    assert answer.status_code == status, answer.content


@pytest.mark.parametrize(
    ("body", "keyword"),
    [
        (b"{", "invalidSyntax"),
        (b"[]", "invalidSyntax"),
        (b'"x"', "invalidSyntax"),
        (b"null", "invalidSyntax"),
        (b"\xff", "invalidSyntax"),
        (b"[" * 100_000, "invalidSyntax"),
        (b"{}", "invalidValue"),
        (b'{"userName": NaN}', "invalidSyntax"),
        (b'{"userName": 5}', "invalidValue"),
        (b'{"userName": ""}', "invalidValue"),
        (b'{"userName": "bob"}', "invalidValue"),
        (b'{"userName": "a@acme.example", "active": "perhaps"}', "invalidValue"),
        (b'{"userName": "a@acme.example", "emails": "x"}', "invalidValue"),
        (b'{"userName": "a@acme.example", "name": []}', "invalidValue"),
        (b'{"userName": "a@acme.example", "displayName": "\\u0000"}', "invalidValue"),
        (b'{"userName": "a@acme.example", "displayName": "\\ud800"}', "invalidValue"),
        (
            b'{"schemas": ["urn:ietf:params:scim:schemas:core:2.0:Group"], "userName": "a"}',
            "invalidSyntax",
        ),
    ],
)
def test_bad_bodies_are_refused_by_name(okta, body: bytes, keyword: str) -> None:
    refusal(okta.send("POST", "Users", body), 400, keyword)
    assert not User.objects.exists()


@pytest.mark.parametrize("field", ["userName", "displayName", "externalId"])
def test_values_are_bounded(okta, field: str) -> None:
    told = user(BOB) | {field: "x" * 300}

    refusal(okta.send("POST", "Users", told), 400, "invalidValue")


def test_a_body_that_is_too_large_is_refused(okta, settings) -> None:
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 1000

    refusal(okta.send("POST", "Users", user(BOB, nickName="x" * 2000)), 413)


def test_what_nobody_keeps_is_ignored_and_a_password_is_never_read(okta) -> None:
    enterprise = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
    told = user(
        BOB,
        password="hunter2 hunter2",
        shoeSize=43,
        phoneNumbers=[{"value": "1"}],
        roles=["owner"],
        id="mine",
        **{enterprise: {"manager": "somebody", "department": 5}},
    )
    told["schemas"] = [USER, enterprise]

    answer = okta.send("POST", "Users", told)

    assert answer.status_code == 201, answer.content
    assert "hunter2" not in answer.content.decode()
    assert not User.objects.get(email=BOB).has_usable_password()
    assert answer.json()["id"] != "mine"


@pytest.mark.parametrize(
    "operations",
    [
        [],
        {"op": "add"},
        ["add"],
        [{"op": "multiply", "path": "active", "value": True}],
        [{"op": "replace", "path": "active", "value": "perhaps"}],
        [{"op": "replace", "path": "active[[", "value": True}],
        [{"op": "replace", "path": "userName", "value": None}],
        [{"op": "remove", "path": "userName"}],
        [{"op": "remove"}],
        [{"op": "replace", "path": "id", "value": "x"}],
        [{"op": "add", "path": "displayName"}],
        [{"op": "add", "path": "displayName", "value": "x"}] * 1001,
    ],
)
def test_bad_patches_are_refused_and_change_nothing(okta, operations) -> None:
    path = f"Users/{okta.add_user(BOB, displayName='Bob')['id']}"

    answer = okta.send("PATCH", path, {"Operations": operations})

    assert answer.status_code == 400, answer.content
    assert answer.json()["scimType"]
    kept = okta.get(path).json()
    assert (kept["displayName"], kept["active"]) == ("Bob", True)


@pytest.mark.parametrize("path", ["Users/1", "Users/x/y", "Nope", "Users/"])
def test_other_addresses_answer_in_the_same_form(okta, path: str) -> None:
    refusal(okta.get(path), 404)


@pytest.mark.parametrize("path", ["Bulk", "Me", ".search", "Users/.search"])
def test_what_is_not_built_is_said_to_be(okta, path: str) -> None:
    refusal(okta.send("POST", path, {}), 501)


def test_other_methods_are_refused_with_those_that_there_are(okta) -> None:
    answer = okta.send("PUT", "Users", user(BOB))

    refusal(answer, 405)
    assert "POST" in answer["Allow"]


def test_a_fault_of_ours_says_nothing_of_itself(okta, monkeypatch, caplog) -> None:
    def broken(conditions: object) -> None:
        raise RuntimeError("secret detail")

    monkeypatch.setattr("apps.accounts.scim.queries.users", broken)

    answer = okta.get("Users")

    assert "secret detail" not in json.dumps(refusal(answer, 500))
    assert "SCIM failed" in caplog.text


# -- what is announced -----------------------------------------------------------------


def test_the_service_announces_what_it_can_do(okta) -> None:
    config = okta.get("ServiceProviderConfig").json()

    offered = {
        name: config[name]["supported"]
        for name in ("patch", "bulk", "filter", "changePassword", "sort", "etag")
    }
    assert offered == {
        "patch": True,
        "bulk": False,
        "filter": True,
        "changePassword": False,
        "sort": False,
        "etag": False,
    }
    assert config["filter"]["maxResults"] == 200


@pytest.mark.parametrize(("kind", "count"), [("Schemas", 2), ("ResourceTypes", 2)])
def test_descriptions_lead_to_themselves(okta, kind: str, count: int) -> None:
    listed = okta.get(kind).json()

    assert listed["totalResults"] == len(listed["Resources"]) == count
    for each in listed["Resources"]:
        assert okta.client.get(each["meta"]["location"]).json() == each
    refusal(okta.get(f"{kind}/Nothing"), 404)


def test_answers_are_scim_and_are_kept_nowhere(okta) -> None:
    answer = okta.get("Users")

    assert answer["Content-Type"] == MEDIA
    assert answer["Cache-Control"] == "no-store"
