"""The overview: the worst first, figures that lead to their rows."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from apps.executions.states import ExecutionState
from apps.issues import sweeper
from tests import factories
from tests.staff import staff

S = ExecutionState


@pytest.fixture
def viewer(client, netra):
    client.force_login(staff("support_viewer", netra))
    return client


def overview(client) -> dict:
    response = client.get("/admin/")
    assert response.status_code == 200
    return response.context


def figures(client) -> dict[str, int]:
    return {figure.label: figure.number for figure in overview(client)["figures"]}


def test_an_empty_installation_is_quiet(viewer):
    assert overview(viewer)["sentence"].startswith("It is quiet")


def test_all_is_well_when_nothing_failed(viewer, alice_principal):
    factories.ended(alice_principal)

    assert overview(viewer)["sentence"] == (
        "All is well: 1 executions in 24 hours, none failed."
    )


def test_failures_are_told_before_successes_and_stuck_ones_before_both(
    viewer, alice_principal
):
    factories.ended(alice_principal)
    factories.ended(alice_principal, S.FAILED)
    assert "1 of 2 executions failed" in overview(viewer)["sentence"]

    factories.running(alice_principal, now=timezone.now() - timedelta(seconds=25))
    assert overview(viewer)["sentence"].startswith("1 execution is stuck.")


def test_the_figures_count_both_organisations(
    viewer, alice_principal, mallory_principal
):
    for who in (alice_principal, mallory_principal):
        factories.running(who)
        factories.execution(who)
        factories.ended(who, S.DEAD)
    sweeper.sweep()

    assert figures(viewer) == {
        "Alive": 4,
        "Stuck": 0,
        "Failed in 24 hours": 2,
        "Asked for in 24 hours": 6,
        "Open issues": 2,
    }
    assert dict(overview(viewer)["alive"]) == {
        "pending": 2,
        "starting": 0,
        "running": 2,
        "completing": 0,
    }


def test_every_figure_leads_to_as_many_rows(viewer, alice_principal):
    factories.running(alice_principal)
    factories.ended(alice_principal, S.FAILED)
    factories.ended(alice_principal)
    sweeper.sweep()

    for figure in overview(viewer)["figures"]:
        rows = viewer.get(figure.url).context["cl"].result_count
        assert rows == figure.number, figure.label


def test_counting_stops_at_a_limit(viewer, alice_principal, monkeypatch):
    monkeypatch.setattr("apps.ops.dashboard.COUNTED", 2)
    for _ in range(4):
        factories.ended(alice_principal)

    figure = overview(viewer)["figures"][3]

    assert (figure.number, figure.shown) == (3, "2+")


@pytest.mark.performance
def test_the_overview_asks_a_bounded_number_of_times(viewer, alice_principal):
    factories.ended(alice_principal, S.FAILED)
    viewer.get("/admin/")
    with CaptureQueriesContext(connection) as few:
        viewer.get("/admin/")
    for _ in range(5):
        factories.ended(alice_principal, S.FAILED)
    sweeper.sweep()

    with CaptureQueriesContext(connection) as many:
        viewer.get("/admin/")

    assert len(many) == len(few) <= 15
