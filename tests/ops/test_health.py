"""Liveness, readiness and figures: for machines, and for nobody who should not see them."""

from __future__ import annotations

import asyncio

import pytest
from django.db import OperationalError
from django.test import Client, override_settings

from apps.chat.connections import connections
from apps.core import relay
from apps.core.errors import UnavailableError
from apps.core.hub import hub
from apps.executions.dispatch import dispatcher
from apps.executions.moves import refused_moves
from apps.executions.runner import runner
from apps.ops import health
from tests import factories
from tests.doors import api_client, problem_of

pytestmark = pytest.mark.integration


@pytest.fixture
def client():
    """A visitor from this machine, which Django's own test client only is by address."""
    return Client(headers={"Host": "127.0.0.1:8000"})


@pytest.fixture
def ready(monkeypatch):
    """As a server process is, once it runs."""
    loop = asyncio.new_event_loop()
    monkeypatch.setattr(runner, "accepting", True)
    monkeypatch.setattr(hub, "_loop", loop)
    yield
    loop.close()


def away() -> None:
    raise OperationalError("secret host is away")


def test_liveness_asks_nothing_of_the_database(client, django_assert_num_queries, db):
    with django_assert_num_queries(0):
        response = client.get("/healthz")

    assert (response.status_code, response.json()) == (200, {"status": "ok"})
    assert "no-store" in response["Cache-Control"]


def test_a_server_that_runs_is_ready(client, db, ready):
    response = client.get("/readyz")

    assert response.status_code == 200, response.json()
    told = response.json()
    assert told["status"] == "ready"
    assert set(told["checks"]) == {"server", "database", "runner", "hints"}


@pytest.mark.parametrize(
    "why", ["The server is starting.", "The server is going away."]
)
def test_a_server_that_begins_or_ends_is_not_ready_and_asks_nothing(
    client, ready, monkeypatch, why
):
    monkeypatch.setattr(connections, "refusing", UnavailableError(why))

    response = client.get("/readyz")  # the test may not touch the database

    assert (response.status_code, response["Retry-After"]) == (503, "2")
    assert response.json()["checks"] == {"server": {"ok": False, "detail": why}}


@pytest.mark.faults
@override_settings(NETRA_REDIS_URL="redis://127.0.0.1:1/0")
@pytest.mark.parametrize("away", [None, True, False], ids=["no relay", "away", "there"])
def test_without_redis_it_is_ready_degraded_and_says_so(
    client, db, ready, monkeypatch, away
):
    if away is not None:
        monkeypatch.setattr(relay, "current", relay.Relay(hub, None))
        relay.current.away = away
        relay.current.lost = 3

    response = client.get("/readyz")
    figures = client.get("/metrics").content.decode().splitlines()

    told = response.json()
    assert response.status_code == 200
    assert told["status"] == ("ready" if away is False else "degraded")
    assert told["checks"]["hints"].get("degraded", False) is (away is not False)
    assert ("redis is away" in told["checks"]["hints"]["detail"]) is (away is not False)
    assert f"netra_hints_away {int(away is not False)}" in figures
    assert f"netra_hints_lost_total {0 if away is None else 3}" in figures


def test_lost_calls_to_workers_are_counted(client, db, monkeypatch):
    monkeypatch.setattr(dispatcher, "lost", 7)

    assert "netra_dispatch_lost_total 7\n" in client.get("/metrics").content.decode()


def test_without_a_runner_it_is_not_ready(client, db, ready, monkeypatch):
    monkeypatch.setattr(runner, "accepting", False)

    response = client.get("/readyz")

    assert (response.status_code, response["Retry-After"]) == (503, "2")
    assert not response.json()["checks"]["runner"]["ok"]


def test_without_a_hub_it_is_not_ready(client, db, monkeypatch):
    monkeypatch.setattr(runner, "accepting", True)

    assert client.get("/readyz").json()["checks"]["hints"]["ok"] is False


def test_without_a_database_it_is_not_ready_and_gives_nothing_away(
    client, db, ready, monkeypatch
):
    monkeypatch.setattr(health.Organisation.objects, "order_by", away)

    response = client.get("/readyz")

    assert response.status_code == 503
    assert not response.json()["checks"]["database"]["ok"]
    assert "secret" not in response.content.decode()


def test_figures_count_executions_by_state(client, alice_principal, mallory_principal):
    factories.ended(alice_principal)
    factories.ended(mallory_principal)
    factories.running(alice_principal)
    refused_moves['odd"', "back\\slash\n"] += 1

    response = client.get("/metrics")
    del refused_moves['odd"', "back\\slash\n"]

    lines = response.content.decode().splitlines()
    assert response["Content-Type"].startswith("text/plain; version=0.0.4")
    assert 'netra_executions{state="completed"} 2' in lines
    assert 'netra_executions{state="running"} 1' in lines
    assert 'netra_executions{state="dead"} 0' in lines
    assert 'netra_refused_moves_total{from="odd\\"",to="back\\\\slash\\n"} 1' in lines
    assert any(line.startswith("netra_system_scope_openings_total{") for line in lines)
    names = {line.split()[2] for line in lines if line.startswith("# TYPE")}
    samples = {line.split("{")[0].split()[0] for line in lines if line[0] != "#"}
    assert samples <= names


@pytest.mark.security
@pytest.mark.parametrize(
    "request_from",
    [
        {"REMOTE_ADDR": "203.0.113.9"},
        {"REMOTE_ADDR": "127.0.0.1", "HTTP_X_FORWARDED_FOR": "203.0.113.9"},
        {"REMOTE_ADDR": "127.0.0.1", "HTTP_FORWARDED": "for=203.0.113.9"},
        {"REMOTE_ADDR": ""},
        {"REMOTE_ADDR": "unix:"},
        {"REMOTE_ADDR": "127.0.0.1", "HTTP_VIA": "1.1 proxy"},
        {"REMOTE_ADDR": "127.0.0.1", "HTTP_X_FORWARDED_PROTO": "http"},
        {"REMOTE_ADDR": "127.0.0.1", "HTTP_HOST": "testserver"},
    ],
)
def test_figures_are_not_for_visitors(client, db, request_from):
    response = client.get("/metrics", **request_from)

    assert problem_of(response)["code"] == "not_authenticated"


@pytest.mark.security
@pytest.mark.parametrize("header", ["Bearer invented", "Basic eDp5", "Bearer"])
def test_a_bad_token_is_refused_even_on_this_machine(client, db, header):
    assert client.get("/metrics", headers={"Authorization": header}).status_code == 401


@pytest.mark.security
def test_a_customers_token_opens_no_figures(alice_principal):
    response = api_client(alice_principal).get("/metrics", REMOTE_ADDR="203.0.113.9")

    assert problem_of(response)["code"] == "not_allowed"


def test_a_token_of_staff_opens_them_from_anywhere(support_principal):
    response = api_client(support_principal).get("/metrics", REMOTE_ADDR="203.0.113.9")

    assert response.status_code == 200


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics"])
def test_they_are_only_read(path, db):
    assert Client().post(path).status_code == 405
