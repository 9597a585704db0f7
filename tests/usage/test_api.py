"""Usage over HTTP: figures of a period, and reported calls."""

from __future__ import annotations

import json

import pytest
from django.test import Client
from django.utils import timezone

from apps.accounts.models import Membership
from apps.usage.models import Record
from tests import factories
from tests.doors import API, JSON, api_client, problem_of
from tests.factories import TESTS

pytestmark = pytest.mark.integration
USAGE = f"{API}usage/"
CALL = {"id": "c1", "provider": "openai", "model": "gpt-5-mini"}


@pytest.fixture
def alice_api(alice_principal) -> Client:
    return api_client(alice_principal)


def report(client: Client, body: object, content_type: str = JSON):
    given = body if isinstance(body, str | bytes) else json.dumps(body)
    return client.generic("POST", USAGE, given, content_type)


def records() -> list[Record]:
    with TESTS:
        return list(Record.objects.order_by("at"))


def test_a_reported_call_is_recorded_once_and_counted(alice_api, mallory_principal):
    call = CALL | {"cost_usd": "0.25", "input_tokens": 10, "feature": "search"}

    first, again = report(alice_api, call), report(alice_api, call)

    assert (first.status_code, first.json()) == (
        201,
        {"new": 1, "known": 0, "unpriced": 0},
    )
    assert (again.status_code, again.json()["known"]) == (200, 1)
    figures = alice_api.get(USAGE, {"by": "feature", "period": "7d"}).json()
    assert (figures["totals"]["calls"], figures["totals"]["cost_usd"]) == (
        1,
        "0.250000",
    )
    assert [one["name"] for one in figures["results"]] == ["search"]
    theirs = api_client(mallory_principal).get(USAGE).json()
    assert theirs["totals"]["calls"] == 0


def test_many_calls_are_reported_at_once(alice_api):
    response = report(alice_api, [CALL | {"id": n} for n in range(3)])

    assert response.json()["new"] == 3, "numbers are taken as ids"


def test_optional_fields_may_be_null_and_unknown_ones_are_ignored(alice_api):
    nothing = dict.fromkeys(
        ("at", "feature", "input_tokens", "status", "error", "cost_usd", "latency_ms")
    )

    response = report(alice_api, CALL | nothing | {"unknown": [1]})

    assert response.status_code == 201
    assert records()[0].status == "ok"
    assert abs((timezone.now() - records()[0].at).total_seconds()) < 60


def test_a_table_is_taken_too(alice_api):
    table = (
        "id,provider,model,input_tokens,cost_usd,feature,note\r\n"
        'a,openai,gpt-5-mini,5,0.1,"search, fast",x\r\n'
        "b,openai,gpt-5-mini,,,,\r\n"
    )

    response = report(alice_api, "﻿" + table, "text/csv")

    assert response.json()["new"] == 2
    assert {row.feature for row in records()} == {"search, fast", ""}


@pytest.mark.security
@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "0.id"),
        ([CALL, {"id": "c2", "provider": "x"}], "1.model"),
        (CALL | {"input_tokens": -1}, "0.input_tokens"),
        (CALL | {"input_tokens": 2**40}, "0.input_tokens"),
        (CALL | {"input_tokens": "many"}, "0.input_tokens"),
        (CALL | {"cached_tokens": 5}, "[0].cached_tokens"),
        (CALL | {"at": "yesterday"}, "0.at"),
        (CALL | {"status": "fine"}, "0.status"),
        (CALL | {"cost_usd": -1}, "0.cost_usd"),
        (CALL | {"cost_usd": "NaN"}, "0.cost_usd"),
        (CALL | {"model": "a\x00"}, "0.model"),
        (CALL | {"id": True}, "0.id"),
        ("text", "0"),
        ([5], "0"),
    ],
)
def test_a_call_that_breaks_a_rule_records_none_of_them(alice_api, body, field):
    response = report(alice_api, json.dumps(body))

    problem = problem_of(response)
    assert response.status_code == 422
    assert problem["errors"][0]["field"] == field
    assert records() == []


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        ('a,b\n"x', "text/csv", 400),
        (b"\xff", "text/csv", 400),
        ("{", JSON, 400),
        ("x=1", "application/x-www-form-urlencoded", 415),
        (json.dumps([CALL] * 5001), JSON, 413),
    ],
)
def test_a_report_that_cannot_be_read_is_refused(alice_api, body, content_type, status):
    response = report(alice_api, body, content_type)

    assert problem_of(response)["status"] == status
    assert records() == []


@pytest.mark.parametrize(
    ("query", "field"),
    [("period=forever", "period"), ("period=0d", "period"), ("by=moon", "by")],
)
def test_a_question_for_other_figures_is_refused_by_name(alice_api, query, field):
    problem = problem_of(alice_api.get(f"{USAGE}?{query}"))

    assert (problem["status"], problem["errors"][0]["field"]) == (422, field)


@pytest.mark.parametrize("by", ["model", "provider", "feature", "day"])
def test_figures_are_broken_down(alice_api, by):
    report(alice_api, CALL)

    figures = alice_api.get(USAGE, {"by": by}).json()

    assert sum(one["calls"] for one in figures["results"]) == 1


def test_a_viewer_reports_nothing(acme):
    viewer = factories.person("victor@acme.example", acme)
    client = api_client(factories.principal(viewer, acme))
    factories.lower(viewer, acme, Membership.Role.VIEWER)

    assert report(client, CALL).status_code == 403
    assert client.get(USAGE).status_code == 200
