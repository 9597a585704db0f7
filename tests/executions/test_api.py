"""Executions over HTTP: one's own, with what they did; stopping one; nobody else's."""

from __future__ import annotations

import uuid

import pytest
from django.test import Client

from apps.executions import api
from apps.executions.errors import LeaseLostError
from apps.executions.states import TERMINAL, ExecutionState
from tests import factories
from tests.doors import API, api_client, problem_of, shape_of, written

pytestmark = pytest.mark.integration
EXECUTIONS = f"{API}executions/"
S = ExecutionState


@pytest.fixture
def alice_api(alice_principal) -> Client:
    return api_client(alice_principal)


def test_executions_are_listed_newest_first_without_what_was_said(
    alice_api, alice_principal, bob_principal, mallory_principal
):
    ended = factories.ended(alice_principal, S.FAILED, text="a secret")
    waiting = factories.execution(alice_principal)
    factories.execution(bob_principal)
    factories.execution(mallory_principal)

    response = alice_api.get(EXECUTIONS)

    found = response.json()["results"]
    assert [row["id"] for row in found] == [str(waiting.id), str(ended.id)]
    assert [row["state"] for row in found] == ["pending", "failed"]
    assert found[1]["error_code"] == "failed"
    assert found[1]["receipt_id"]
    assert "secret" not in response.content.decode()
    assert "hello" not in response.content.decode()


def test_the_list_takes_few_queries_however_long_it_is(
    alice_api, alice_principal, django_assert_max_num_queries
):
    for _ in range(10):
        factories.execution(alice_principal)
    alice_api.get(EXECUTIONS)

    with django_assert_max_num_queries(6):
        alice_api.get(EXECUTIONS)


def test_the_list_is_narrowed_by_state_agent_and_thread(alice_api, alice_principal):
    ended = factories.ended(alice_principal)
    other = factories.execution(alice_principal, agent="slow-turn")

    def ids(**query: object) -> list[str]:
        return [row["id"] for row in alice_api.get(EXECUTIONS, query).json()["results"]]

    assert ids(state="completed") == [str(ended.id)]
    assert ids(agent="slow-turn") == [str(other.id)]
    assert ids(thread_id=ended.stream_id) == [str(ended.id)]
    assert ids(state="dead") == []


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("state=done", "state"),
        ("thread_id=7", "thread_id"),
        ("cursor=cD0lMDA=", "cursor"),
        ("cursor=cD0yMDI2LTk5LTk5", "cursor"),
    ],
)
def test_a_filter_that_makes_no_sense_is_refused_by_name(
    alice_api, alice_principal, query, field
):
    factories.execution(alice_principal)

    problem = problem_of(alice_api.get(f"{EXECUTIONS}?{query}"))

    assert (problem["status"], problem["errors"][0]["field"]) == (422, field)


def test_ones_own_execution_shows_question_answer_and_moves(alice_api, alice_principal):
    ended = factories.ended(alice_principal, text="forty-two")

    shown = alice_api.get(f"{EXECUTIONS}{ended.id}/").json()

    assert (shown["question"], shown["answer"]) == ("hello", "forty-two")
    assert [move["to_state"] for move in shown["transitions"]] == [
        "pending",
        "starting",
        "running",
        "completing",
        "completed",
    ]


def test_the_events_of_an_execution_come_by_number(
    alice_api, alice_principal, monkeypatch
):
    ended = factories.ended(alice_principal)
    monkeypatch.setattr(api.queries, "PAGE", 1)

    url, seen = f"{EXECUTIONS}{ended.id}/events/", []
    while url:
        page = alice_api.get(url).json()
        seen += page["results"]
        url = page["next"]

    assert [event["type"] for event in seen] == ["agent_started", "agent_completed"]
    assert [event["seq"] for event in seen] == [1, 2]
    assert {event["execution_id"] for event in seen} == {str(ended.id)}
    assert seen[-1]["data"]["text"] == "The answer."


# -- stopping ------------------------------------------------------------------------


def test_a_waiting_execution_is_stopped_at_once(alice_api, alice_principal):
    waiting = factories.execution(alice_principal)

    response = alice_api.post(f"{EXECUTIONS}{waiting.id}/cancel/")

    assert response.status_code == 202
    assert response.json() == {"execution_id": str(waiting.id), "state": "cancelled"}
    assert factories.present(waiting).state is S.CANCELLED


def test_a_running_execution_is_asked_to_stop(alice_api, alice_principal):
    running = factories.running(alice_principal)

    response = alice_api.post(f"{EXECUTIONS}{running.id}/cancel/")

    assert response.json()["state"] == "running"
    assert factories.row(running).cancel_by == "user"


@pytest.mark.parametrize("state", sorted(TERMINAL))
def test_an_ended_execution_stays_as_it_is(alice_api, alice_principal, state):
    ended = factories.ended(alice_principal, state)
    before = written()

    response = alice_api.post(f"{EXECUTIONS}{ended.id}/cancel/")

    assert (response.status_code, response.json()["state"]) == (202, state.value)
    assert written() == before


def test_a_cancel_that_meets_a_move_looks_again(
    alice_api, alice_principal, monkeypatch
):
    waiting = factories.execution(alice_principal)
    real, failures = (
        api.endings.cancel,
        [LeaseLostError("moved"), LeaseLostError("moved")],
    )

    def cancel(**given: object) -> ExecutionState:
        if failures:
            raise failures.pop()
        return real(**given)

    monkeypatch.setattr(api.endings, "cancel", cancel)

    assert alice_api.post(f"{EXECUTIONS}{waiting.id}/cancel/").status_code == 202


def test_a_cancel_that_always_comes_late_is_a_conflict(
    alice_api, alice_principal, monkeypatch
):
    waiting = factories.execution(alice_principal)

    def cancel(**given: object) -> ExecutionState:
        raise LeaseLostError("moved")

    monkeypatch.setattr(api.endings, "cancel", cancel)
    response = alice_api.post(f"{EXECUTIONS}{waiting.id}/cancel/")

    assert (response.status_code, problem_of(response)["code"]) == (409, "conflict")


def test_trying_again_is_not_built_yet_and_says_so(alice_api, alice_principal):
    ended = factories.ended(alice_principal, S.FAILED)

    response = alice_api.post(f"{EXECUTIONS}{ended.id}/retry/")

    assert (response.status_code, problem_of(response)["code"]) == (422, "unsupported")


# -- strangers -----------------------------------------------------------------------


@pytest.mark.security
@pytest.mark.mission_critical
@pytest.mark.parametrize(
    ("method", "rest"),
    [("get", ""), ("get", "events/"), ("post", "cancel/"), ("post", "retry/")],
)
@pytest.mark.parametrize("stranger", ["mallory", "bob", "support"])
def test_a_foreign_execution_looks_exactly_like_an_absent_one(
    request, alice_principal, stranger, method, rest
):
    theirs = factories.running(alice_principal)
    client = api_client(request.getfixturevalue(f"{stranger}_principal"))
    before = written()

    foreign = client.generic(method.upper(), f"{EXECUTIONS}{theirs.id}/{rest}")
    absent = client.generic(method.upper(), f"{EXECUTIONS}{uuid.uuid4()}/{rest}")

    assert foreign.status_code == 404
    assert shape_of(foreign) == shape_of(absent)
    assert written() == before
    assert factories.row(theirs).cancel_requested_at is None


@pytest.mark.security
def test_a_foreign_thread_narrows_to_nothing(alice_principal, mallory_principal):
    theirs = factories.execution(alice_principal)

    page = api_client(mallory_principal).get(
        EXECUTIONS, {"thread_id": theirs.stream_id}
    )

    assert page.json()["results"] == []
