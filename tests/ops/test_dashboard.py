"""The overview: the worst first, figures that lead to their rows."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from apps.accounts.models import IdentityProvider
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


# -- company sign-in -------------------------------------------------------------------


@pytest.fixture
def ending(acme):
    """Acme's provider, whose secret ends tomorrow."""
    with factories.TESTS:
        return IdentityProvider.objects.create(
            organisation=acme,
            provider_id="acme",
            name="<i>Acme</i>",
            issuer="https://idp.acme.example",
            client_id="netra",
            secret_expires_at=timezone.now() + timedelta(days=1),
        )


def test_what_ends_soon_is_told_to_who_may_see_providers(client, netra, ending):
    client.force_login(staff("security_auditor", netra))

    page = client.get("/admin/").content.decode()

    assert "Company sign-in: 1 thing ends soon" in page
    assert "The client secret of &lt;i&gt;Acme&lt;/i&gt; ends" in page
    assert f"/admin/accounts/identityprovider/{ending.pk}/change/" in page


def test_and_to_nobody_else(viewer, ending):
    assert "client secret" not in viewer.get("/admin/").content.decode()


def test_there_is_no_card_when_nothing_ends(client, netra):
    client.force_login(staff("security_auditor", netra))

    assert "Company sign-in" not in client.get("/admin/").content.decode()


@pytest.mark.performance
def test_what_ends_costs_one_query_however_much_it_is(
    client, netra, ending, monkeypatch
):
    client.force_login(staff("security_auditor", netra))
    client.get("/admin/")
    with CaptureQueriesContext(connection) as few:
        client.get("/admin/")
    for number in range(12):
        with factories.TESTS:
            IdentityProvider.objects.create(
                organisation=ending.organisation,
                provider_id=f"p-{number}",
                name="P",
                issuer="https://idp.acme.example",
                client_id=f"c-{number}",
                secret_expires_at=timezone.now(),
            )

    with CaptureQueriesContext(connection) as many:
        page = client.get("/admin/").content.decode()

    assert len(many) == len(few)
    assert "13 things end soon" in page
    assert "The others stand on the pages" in page
