"""Every error has one form, never a trace, and a receipt for those we know."""

from __future__ import annotations

import logging

import pytest
from django.test import Client

from apps.accounts import actions
from apps.audits import receipts
from apps.audits.models import Receipt
from tests.accounts.doors import ERRORS
from tests.factories import TESTER, TESTS

pytestmark = [pytest.mark.security, pytest.mark.urls("tests.accounts.doors")]


@pytest.fixture
def known(alice, acme) -> Client:
    with TESTS:
        secret = actions.create_token(actor=TESTER, user=alice, organisation_id=acme.pk)
    return Client(
        headers={"Authorization": f"Bearer {secret}"}, raise_request_exception=False
    )


@pytest.mark.parametrize(
    ("which", "status", "code", "recorded"),
    [
        ("invalid", 422, "invalid", True),
        ("absent", 404, "not_found", True),
        ("conflict", 409, "conflict", True),
        ("limited", 429, "rate_limited", True),
        ("unavailable", 503, "unavailable", True),
        ("http404", 404, "not_found", True),
        ("denied", 403, "not_allowed", True),
        ("big", 413, "too_large", True),
        ("odd", 400, "malformed", False),
        ("deep", 400, "malformed", False),
        ("away", 503, "unavailable", True),
        ("data", 422, "invalid", True),
        ("surrogate", 422, "invalid", True),
        ("overflow", 422, "invalid", True),
        ("throttled", 429, "rate_limited", True),
        ("bug", 500, "internal", True),
    ],
)
def test_each_error_is_a_problem(known, caplog, which, status, code, recorded):
    with caplog.at_level(logging.CRITICAL):
        response = known.get(f"/api/v1/failing/{which}/")

    problem = response.json()
    assert response["Content-Type"] == "application/problem+json"
    assert (response.status_code, problem["status"], problem["code"]) == (
        status,
        status,
        code,
    )
    assert problem["title"]
    assert problem["detail"]
    assert problem["type"].endswith(code)
    assert "secret detail" not in response.content.decode()
    assert "Traceback" not in response.content.decode()
    with TESTS:
        stored = list(Receipt.objects.values_list("id", flat=True))
    assert [problem["receipt_id"]] == ([str(stored[0])] if recorded else [None])


def test_every_error_of_the_table_is_tried():
    tried = test_each_error_is_a_problem.pytestmark[0].args[1]

    assert {row[0] for row in tried} == set(ERRORS)


@pytest.mark.parametrize(
    ("which", "seconds"),
    [("limited", "7"), ("throttled", "12"), ("unavailable", "1"), ("away", "2")],
)
def test_what_passes_says_when(known, which, seconds):
    assert known.get(f"/api/v1/failing/{which}/")["Retry-After"] == seconds


def test_a_refused_field_is_named_with_its_fix(known):
    problem = known.get("/api/v1/failing/invalid/").json()

    assert problem["errors"] == [
        {"field": "colour", "problem": "'x' is not a colour.", "fix": "Use 'red'."}
    ]


def test_equal_refusals_within_a_minute_share_a_receipt(known):
    first, second = (known.get("/api/v1/failing/conflict/").json() for _ in range(2))

    assert first["receipt_id"] == second["receipt_id"]
    with TESTS:
        assert Receipt.objects.get().count == 2


def test_all_refused_fields_are_named(known):
    response = known.post(
        "/api/v1/mine/",
        {"name": None, "parts": [{"text": "ok"}, {"text": "too long"}, {}]},
        content_type="application/json",
    )

    assert response.status_code == 422
    assert [(e["field"], e["fix"]) for e in response.json()["errors"]] == [
        ("name", "Send a value, not null."),
        ("parts.1.text", "Shorten it."),
        ("parts.2.text", "Send this field."),
    ]


def test_a_rule_about_the_whole_has_no_field(known):
    response = known.post(
        "/api/v1/mine/", {"name": "rule", "parts": []}, content_type="application/json"
    )

    assert [(e["field"], e["problem"]) for e in response.json()["errors"]] == [
        ("", "Not this name.")
    ]


@pytest.mark.parametrize(
    "body",
    [b"{", b"\xff\xfe", b"", b"nul\x00l", b"[" * 200_000],
    ids=["open", "bytes", "none", "nul", "deep"],
)
def test_unreadable_bodies_are_a_bad_request(known, body):
    response = known.post("/api/v1/mine/", body, content_type="application/json")

    assert response.status_code in {400, 422}
    assert response["Content-Type"] == "application/problem+json"


@pytest.mark.parametrize("body", [b"3", b"null", b'"x"', b"[]", b"true"])
def test_json_of_the_wrong_shape_breaks_a_rule(known, body):
    assert (
        known.post("/api/v1/mine/", body, content_type="application/json").status_code
        == 422
    )


def test_other_content_is_not_understood(known):
    assert (
        known.post("/api/v1/mine/", "a=b", content_type="text/plain").status_code == 415
    )


def test_a_body_over_the_limit_is_too_large(known, settings):
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 10

    response = known.post(
        "/api/v1/mine/", {"name": "x" * 100}, content_type="application/json"
    )

    assert response.status_code == 413


def test_other_methods_are_named(known):
    response = known.delete("/api/v1/mine/")

    assert (response.status_code, response["Allow"]) == (
        405,
        "GET, POST, HEAD, OPTIONS",
    )


def test_other_forms_of_answer_are_refused_before_anybody_is_looked_up(known):
    assert (
        known.get("/api/v1/mine/", headers={"Accept": "image/png"}).status_code == 406
    )


def test_an_unknown_address_of_the_api_is_a_problem(client, db):
    response = client.get("/api/v1/there-is-none/")

    assert (response.status_code, response["Content-Type"]) == (
        404,
        "application/problem+json",
    )


@pytest.mark.parametrize(
    ("which", "status", "words"),
    [
        ("http404", 404, "There is no such page"),
        ("denied", 403, "You may not open"),
        ("odd", 400, "cannot be read"),
        ("bug", 500, "on our side"),
    ],
)
def test_people_get_pages(db, caplog, which, status, words):
    with caplog.at_level(logging.CRITICAL):
        response = Client(raise_request_exception=False).get(f"/failing/{which}/")

    page = response.content.decode()
    assert (response.status_code, words in page) == (status, True)
    assert "secret detail" not in page


def test_a_form_that_is_too_old_is_explained(db):
    response = Client(enforce_csrf_checks=True).post("/accounts/login/", {"login": "x"})

    assert response.status_code == 403
    assert "This page was too old" in response.content.decode()


def test_an_answer_is_given_even_when_its_receipt_cannot_be_stored(
    known, monkeypatch, caplog
):
    from django.db import OperationalError

    def broken(*_: object, **__: object) -> None:
        raise OperationalError("the disk is full")

    monkeypatch.setattr(receipts, "record", broken)

    response = known.get("/api/v1/failing/conflict/")

    assert (response.status_code, response.json()["receipt_id"]) == (409, None)
    assert "a receipt could not be stored" in caplog.text
