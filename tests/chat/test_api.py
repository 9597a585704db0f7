"""Threads and messages over HTTP: what is taken, what is refused, and whose it is."""

from __future__ import annotations

import json
import uuid
from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from apps.accounts.models import Membership
from apps.audits.models import Receipt
from apps.chat.limits import WAITING_PER_THREAD
from apps.chat.models import Message
from tests import factories
from tests.doors import (
    API,
    JSON,
    api_client,
    ask,
    open_thread,
    problem_of,
    shape_of,
    written,
)
from tests.factories import TESTS

pytestmark = pytest.mark.integration
THREADS = f"{API}threads/"
HELLO = {"text": "hello", "agent": "golden-turn"}


@pytest.fixture
def alice_api(alice_principal) -> Client:
    return api_client(alice_principal)


@pytest.fixture
def mallory_api(mallory_principal) -> Client:
    return api_client(mallory_principal)


@pytest.fixture
def thread(alice_principal) -> uuid.UUID:
    return open_thread(alice_principal, "Spend")


# -- asking --------------------------------------------------------------------------


@pytest.mark.golden_path
def test_a_question_is_accepted_and_stands_in_the_thread(alice_api, thread):
    response = ask(alice_api, thread, HELLO)

    asked = response.json()
    assert response.status_code == 202
    assert asked["thread_id"] == str(thread)
    assert (asked["seq"], asked["duplicate"]) == (1, False)
    assert response["Location"] == f"{API}executions/{asked['execution_id']}/"
    assert alice_api.get(response["Location"]).json()["question"] == "hello"
    (message,) = alice_api.get(f"{THREADS}{thread}/messages/").json()["results"]
    assert (message["id"], message["text"], message["role"]) == (
        asked["message_id"],
        "hello",
        "user",
    )


@pytest.mark.parametrize(
    "body",
    [
        {"content": "hello"},
        {"message": "hello"},
        {"query": "hello"},
        {"text": None, "query": "hello"},
        {"text": "hello", "agent": None, "metadata": None, "unknown": [1]},
        {"text": "hello", "thread_id": None},
        {"text": "'; DROP TABLE chat_thread; --\n<script>\n🙂 \u202e"},
        {"text": "x" * 32_000},
        {"text": "hello", "metadata": {"source": {"depth": [1, 2.5, None]}}},
    ],
)
def test_odd_questions_are_taken(alice_api, thread, body):
    response = ask(alice_api, thread, json.dumps(body))

    assert response.status_code == 202, response.content
    text = next(
        body[key] for key in ("text", "content", "message", "query") if body.get(key)
    )
    with TESTS:
        assert Message.objects.get().text == text


@pytest.mark.security
@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        ({}, 422, "text"),
        ({"text": None}, 422, "text"),
        ({"text": ""}, 422, "text"),
        ({"text": " \n\t"}, 422, "text"),
        ({"text": 5}, 422, "text"),
        ({"content": ["x"]}, 422, "content"),
        ({"text": "x" * 32_001}, 413, "text"),
        ({"text": "a\x00b"}, 422, "text"),
        ({"text": "\ud800"}, 422, "text"),
        ({"text": "x", "agent": 7}, 422, "agent"),
        ({"text": "x", "agent": "y" * 65}, 422, "agent"),
        ({"text": "x", "agent": "no-such-agent"}, 404, "agent"),
        ({"text": "x", "metadata": []}, 422, "metadata"),
        ({"text": "x", "metadata": "y"}, 422, "metadata"),
        ([], 422, "body"),
        ("text", 422, "body"),
        (5, 422, "body"),
        (None, 422, "body"),
    ],
)
def test_a_question_that_breaks_a_rule_writes_a_receipt_and_nothing_else(
    alice_api, thread, body, status, field
):
    before = written()

    response = ask(alice_api, thread, json.dumps(body))

    problem = problem_of(response)
    assert response.status_code == status
    assert problem["errors"][0]["field"] == field
    assert problem["errors"][0]["problem"]
    assert problem["errors"][0]["fix"]
    assert written() == before
    with TESTS:
        assert str(Receipt.objects.get().pk) == problem["receipt_id"]


@pytest.mark.security
@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        (b"{", JSON, 400),
        (b"{'text': 1}", JSON, 400),
        (b'{"text": "x", "metadata": {"n": NaN}}', JSON, 400),
        (b'{"text": "\xff"}', JSON, 400),
        (
            b'{"text": "x", "metadata": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
            JSON,
            400,
        ),
        (b'{"text": "x", "metadata": {"n": ' + b"9" * 5000 + b"}}", JSON, 400),
        (b'{"text": "x", "metadata": {"n": 1e999}}', JSON, 422),
        (b'{"text": "' + b"x" * (2 * 1024 * 1024) + b'"}', JSON, 413),
        (b"text=x", "application/x-www-form-urlencoded", 415),
        (b"<x/>", "text/xml", 415),
        (b"x", "", 415),
        (b'{"text": "x"}', "application/json; charset=bz2", 202),
    ],
)
def test_bodies_that_cannot_be_read_are_refused(
    alice_api, thread, body, content_type, status
):
    before = written()

    response = alice_api.generic(
        "POST", f"{THREADS}{thread}/messages/", body, content_type
    )

    assert response.status_code == status, response.content[:300]
    if status != 202:
        problem_of(response)
        assert written() == before


def test_the_same_key_gives_the_same_answer_and_another_body_is_a_conflict(
    alice_api, thread
):
    first = ask(alice_api, thread, HELLO, **{"Idempotency-Key": "k1"})
    again = ask(alice_api, thread, HELLO, **{"Idempotency-Key": "k1"})
    other = ask(alice_api, thread, {"text": "bye"}, **{"Idempotency-Key": "k1"})

    assert (first.status_code, again.status_code) == (202, 202)
    assert again.json() == {**first.json(), "duplicate": True}
    assert problem_of(other)["code"] == "idempotency_conflict"
    assert other.status_code == 409
    with TESTS:
        assert Message.objects.count() == 1


def test_a_key_that_is_too_long_is_refused_by_name(alice_api, thread):
    response = ask(alice_api, thread, HELLO, **{"Idempotency-Key": "k" * 129})

    assert problem_of(response)["errors"][0]["field"] == "Idempotency-Key"


@pytest.mark.parametrize("wait", ["-1", "61", "nan", "inf", "soon", "1e400"])
def test_a_wait_that_makes_no_sense_is_refused(alice_api, thread, wait):
    before = written()

    response = alice_api.post(
        f"{THREADS}{thread}/messages/?wait={wait}", HELLO, content_type=JSON
    )

    assert problem_of(response)["errors"][0]["field"] == "wait"
    assert written() == before


def test_the_sixty_first_question_of_a_minute_has_to_wait(alice_api, alice_principal):
    answers = [ask(alice_api, uuid.uuid4(), HELLO) for _ in range(61)]

    assert {answer.status_code for answer in answers[:60]} == {404}
    assert answers[60].status_code == 429
    assert problem_of(answers[60])["code"] == "rate_limited"
    assert 1 <= int(answers[60]["Retry-After"]) <= 60


def test_a_thread_takes_so_many_waiting_questions_and_no_more(alice_api, thread):
    answers = [ask(alice_api, thread, HELLO) for _ in range(WAITING_PER_THREAD + 2)]

    assert [answer.status_code for answer in answers] == [202] * (
        WAITING_PER_THREAD + 1
    ) + [409]
    assert problem_of(answers[-1])["code"] == "thread_busy"


def test_a_viewer_reads_and_asks_nothing(acme):
    viewer = factories.person("victor@acme.example", acme)
    who = factories.principal(viewer, acme)
    client, own = api_client(who), open_thread(who)
    factories.lower(viewer, acme, Membership.Role.VIEWER)

    response = ask(client, own, HELLO)

    assert (response.status_code, problem_of(response)["code"]) == (403, "not_allowed")
    assert client.get(f"{THREADS}{own}/").status_code == 200


def test_a_session_asks_with_its_csrf_token_only(alice, thread):
    client = Client(enforce_csrf_checks=True)
    client.force_login(alice)

    refused = ask(client, thread, HELLO)
    client.cookies["csrftoken"] = "a" * 32
    accepted = ask(client, thread, HELLO, **{"X-CSRFToken": "a" * 32})

    assert (refused.status_code, problem_of(refused)["code"]) == (403, "not_allowed")
    assert accepted.status_code == 202


# -- strangers -----------------------------------------------------------------------

REQUESTS = [
    ("get", ""),
    ("patch", ""),
    ("delete", ""),
    ("get", "messages/"),
    ("post", "messages/"),
    ("post", "messages/?wait=1"),
    ("get", "events/"),
]


@pytest.mark.security
@pytest.mark.mission_critical
@pytest.mark.parametrize(("method", "rest"), REQUESTS)
@pytest.mark.parametrize("stranger", ["mallory", "bob"])
def test_a_foreign_thread_looks_exactly_like_an_absent_one(
    request, thread, stranger, method, rest
):
    client = api_client(request.getfixturevalue(f"{stranger}_principal"))
    before = written()

    def attempt(thread_id: uuid.UUID):
        return client.generic(
            method.upper(), f"{THREADS}{thread_id}/{rest}", json.dumps(HELLO), JSON
        )

    foreign, absent = attempt(thread), attempt(uuid.uuid4())

    assert foreign.status_code == 404
    assert shape_of(foreign) == shape_of(absent)
    assert written() == before


@pytest.mark.security
def test_a_foreign_event_stream_looks_exactly_like_an_absent_one(mallory_api, thread):
    headers = {"Accept": "text/event-stream"}
    foreign = mallory_api.get(f"{THREADS}{thread}/events/", headers=headers)
    absent = mallory_api.get(f"{THREADS}{uuid.uuid4()}/events/", headers=headers)

    assert foreign.status_code == 404
    assert shape_of(foreign) == shape_of(absent)


@pytest.mark.security
@pytest.mark.parametrize(("method", "rest"), REQUESTS)
def test_without_a_credential_nothing_is_told(client, thread, method, rest):
    response = client.generic(
        method.upper(), f"{THREADS}{thread}/{rest}", json.dumps(HELLO), JSON
    )

    problem = problem_of(response)
    assert (response.status_code, problem["receipt_id"]) == (401, None)


def test_messages_are_listed_in_the_order_in_which_they_were_said(
    alice_api, alice_principal
):
    thread_id = open_thread(alice_principal)
    now = timezone.now()
    factories.ended(
        alice_principal,
        stream_id=thread_id,
        reply_id=uuid.uuid4(),
        text="first",
        now=now - timedelta(hours=1),
    )
    ask(alice_api, thread_id, {"text": "second"})

    texts = [
        m["text"]
        for m in alice_api.get(f"{THREADS}{thread_id}/messages/").json()["results"]
    ]

    assert texts == ["first", "second"]
