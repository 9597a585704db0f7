"""Threads over HTTP: opening, listing, changing, deleting, and reading their log."""

from __future__ import annotations

import json
import uuid
from datetime import timedelta
from functools import partial

import pytest
from django.test import Client
from django.utils import timezone

from apps.chat.models import Message, Thread
from apps.core.database import write_now
from apps.executions import retention
from apps.executions.models import Content, Event, Execution
from apps.executions.standing import Standing
from apps.executions.states import ExecutionState
from tests import factories
from tests.doors import (
    API,
    JSON,
    api_client,
    ask,
    open_thread,
    problem_of,
)
from tests.factories import TESTS
from tests.invariants import violations

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


# -- threads -------------------------------------------------------------------------


def test_a_thread_is_opened_read_renamed_and_archived(alice_api):
    made = alice_api.post(THREADS, {"title": "Spend"}, content_type=JSON)
    place = made["Location"]
    renamed = alice_api.patch(place, {"title": "Costs"}, content_type=JSON)
    archived = alice_api.patch(place, {"archived": True}, content_type=JSON)

    assert made.status_code == 201
    assert (made.json()["title"], made.json()["last_seq"]) == ("Spend", 0)
    assert uuid.UUID(made.json()["epoch"])
    assert renamed.json()["title"] == "Costs"
    assert archived.json() == {**renamed.json(), "archived": True}
    assert alice_api.get(place).json() == archived.json()
    assert alice_api.get(THREADS).json()["results"] == []
    assert [
        t["id"] for t in alice_api.get(f"{THREADS}?archived=true").json()["results"]
    ] == [made.json()["id"]]


@pytest.mark.parametrize("body", [{}, {"title": None}, {"title": ""}, {"other": 1}])
def test_a_thread_needs_no_title(alice_api, body):
    made = alice_api.post(THREADS, json.dumps(body), content_type=JSON)

    assert (made.status_code, made.json()["title"]) == (201, "")


def test_threads_come_by_the_page_and_only_ones_own(
    alice_api, alice_principal, bob_principal, mallory_principal
):
    for number in range(5):
        open_thread(alice_principal, f"{number}")
    open_thread(bob_principal, "bob's")
    open_thread(mallory_principal, "mallory's")

    titles, url = [], f"{THREADS}?page_size=2"
    while url:
        page = alice_api.get(url).json()
        titles += [thread["title"] for thread in page["results"]]
        url = page["next"]

    assert titles == ["4", "3", "2", "1", "0"]


def test_the_list_of_threads_takes_the_same_few_queries_however_many(
    alice_api, alice_principal, django_assert_max_num_queries
):
    for number in range(20):
        open_thread(alice_principal, f"{number}")
    alice_api.get(THREADS)

    with django_assert_max_num_queries(6):
        alice_api.get(THREADS)


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("cursor=nonsense", "cursor"),
        ("cursor=cD1ub25zZW5zZQ==", "cursor"),
        ("cursor=cD0lMDA=", "cursor"),
        ("archived=perhaps", "archived"),
    ],
)
def test_what_a_list_cannot_understand_is_named(alice_api, thread, query, field):
    problem = problem_of(alice_api.get(f"{THREADS}?{query}"))

    assert (problem["status"], problem["errors"][0]["field"]) == (422, field)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"title": "x" * 121}, "title"),
        ({"title": ["x"]}, "title"),
        ({"title": "a\x00b"}, "title"),
        ({"archived": "perhaps"}, "archived"),
        ([], "body"),
        ("text", "body"),
    ],
)
def test_a_change_that_breaks_a_rule_is_refused_by_name(alice_api, thread, body, field):
    response = alice_api.patch(
        f"{THREADS}{thread}/", json.dumps(body), content_type=JSON
    )

    problem = problem_of(response)
    assert (response.status_code, problem["errors"][0]["field"]) == (422, field)
    assert problem["errors"][0]["fix"]
    assert alice_api.get(f"{THREADS}{thread}/").json()["title"] == "Spend"


def test_a_deleted_thread_takes_its_words_with_it(alice_api, alice_principal, thread):
    asked = ask(alice_api, thread, {"text": "the secret plan"}).json()
    with TESTS:
        row = Execution.objects.get(pk=asked["execution_id"])
    claimed = factories.claim(Standing.of(row))
    factories.finish(
        factories.move(claimed, ExecutionState.RUNNING), text="the secret answer"
    )

    response = alice_api.delete(f"{THREADS}{thread}/")

    assert response.status_code == 204
    assert alice_api.get(f"{THREADS}{thread}/").status_code == 404
    execution = alice_api.get(f"{API}executions/{asked['execution_id']}/").json()
    assert (execution["state"], execution["question"], execution["answer"]) == (
        "completed",
        "",
        "",
    )
    with TESTS:
        assert not Thread.objects.exists()
        assert not Message.objects.exists()
        kept = [
            *Event.objects.values_list("payload", flat=True),
            *Content.objects.values(),
        ]
    assert kept
    assert "secret" not in str(kept)
    assert violations() == []


def test_a_thread_is_not_deleted_while_an_answer_is_written(alice_api, thread):
    ask(alice_api, thread, HELLO)

    response = alice_api.delete(f"{THREADS}{thread}/")

    assert (response.status_code, problem_of(response)["code"]) == (409, "conflict")
    assert len(alice_api.get(f"{THREADS}{thread}/messages/").json()["results"]) == 1


# -- the log -------------------------------------------------------------------------


def test_the_log_is_read_from_any_number_on(alice_api, alice_principal, thread):
    ask(alice_api, thread, HELLO)
    factories.ended(alice_principal, stream_id=thread)

    everything = alice_api.get(f"{THREADS}{thread}/events/").json()
    later = alice_api.get(f"{THREADS}{thread}/events/?after=1").json()
    ahead = alice_api.get(f"{THREADS}{thread}/events/?after=999").json()

    numbers = [event["seq"] for event in everything["results"]]
    assert numbers == list(range(1, everything["last_seq"] + 1))
    assert everything["results"][0]["type"] == "message_created"
    assert everything["results"][0]["data"]["text"] == "hello"
    assert everything["next"] is None
    assert later["results"] == everything["results"][1:]
    assert (ahead["results"], ahead["last_seq"]) == ([], everything["last_seq"])


@pytest.mark.parametrize("after", ["-1", "x", "1.5", "9" * 19, "9" * 400, "٣"])
def test_a_number_that_is_none_is_refused(alice_api, thread, after):
    response = alice_api.get(f"{THREADS}{thread}/events/", {"after": after})

    assert problem_of(response)["errors"][0]["field"] == "after"


def test_an_event_stream_cannot_begin_ahead_of_the_log(alice_api, thread):
    response = alice_api.get(
        f"{THREADS}{thread}/events/?after=5", headers={"Accept": "text/event-stream"}
    )

    assert (response.status_code, problem_of(response)["code"]) == (409, "resync")


def test_what_was_cut_from_the_log_is_not_passed_over(
    alice_api, alice_principal, thread
):
    factories.ended(alice_principal, stream_id=thread)
    factories.ended(alice_principal, stream_id=thread)
    before = timezone.now() + timedelta(days=1)
    prune = partial(retention.prune, uuid.UUID(str(thread)), before=before, limit=2)
    assert write_now(alice_principal.scope, prune) == 2

    cut_off = alice_api.get(f"{THREADS}{thread}/events/?after=1")
    kept = alice_api.get(f"{THREADS}{thread}/events/").json()
    following = alice_api.get(f"{THREADS}{thread}/events/?after=2").json()

    assert (cut_off.status_code, problem_of(cut_off)["code"]) == (409, "resync")
    assert kept["first_kept"] == 3
    assert [event["seq"] for event in kept["results"]] == [3, 4]
    assert following["results"] == kept["results"]


def test_what_is_not_offered_is_not_acceptable(alice_api, thread):
    response = alice_api.get(
        f"{THREADS}{thread}/events/", headers={"Accept": "image/png"}
    )

    assert (response.status_code, problem_of(response)["code"]) == (
        406,
        "not_acceptable",
    )
