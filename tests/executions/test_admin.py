"""The list of executions, its filters, and cancelling from it."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from apps.executions import actions
from apps.executions.models import Transition
from apps.executions.states import ExecutionState
from tests import factories
from tests.staff import staff, told

S = ExecutionState
LIST = reverse("admin:executions_execution_changelist")


@pytest.fixture
def operator(client, netra):
    client.force_login(staff("support_operator", netra))
    return client


@pytest.fixture
def viewer(client, netra):
    client.force_login(staff("support_viewer", netra))
    return client


def shown(client, **query: str) -> set:
    response = client.get(LIST, query)
    assert response.status_code == 200
    return {row.pk for row in response.context["cl"].result_list}


def cancel(client, *standings, reason: str = "The customer asked.", **more: str):
    data = {
        "action": "cancel",
        "_selected_action": [str(standing.id) for standing in standings],
        "confirmed": "1",
        "reason": reason,
    }
    return client.post(LIST, data | more, follow=True)


def test_filters_find_what_needs_a_look(viewer, alice_principal):
    now = timezone.now()
    done = factories.ended(alice_principal)
    failed = factories.ended(alice_principal, S.FAILED)
    dead = factories.ended(alice_principal, S.DEAD)
    old = factories.ended(alice_principal, S.FAILED, now=now - timedelta(days=2))
    fresh = factories.running(alice_principal)
    silent = factories.running(alice_principal, now=now - timedelta(seconds=20))

    assert shown(viewer) >= {done.id, failed.id, dead.id, old.id, fresh.id, silent.id}
    assert shown(viewer, show="alive") == {fresh.id, silent.id}
    assert shown(viewer, show="stuck") == {silent.id}
    assert shown(viewer, show="failed") == {failed.id, dead.id}
    assert shown(viewer, show="dead") == {dead.id}
    assert shown(viewer, within="24h", state="failed") == {failed.id}


def test_a_pending_execution_is_stuck_when_nobody_takes_it(viewer, alice_principal):
    now = timezone.now()
    fresh = factories.execution(alice_principal)
    left = factories.execution(alice_principal, now=now - timedelta(minutes=2))
    waiting = factories.execution(
        alice_principal, now=now - timedelta(minutes=2), waiting_for="predecessor"
    )

    assert shown(viewer, show="alive") == {fresh.id, left.id, waiting.id}
    assert shown(viewer, show="stuck") == {left.id}


def test_several_states_may_be_chosen(viewer, alice_principal):
    done = factories.ended(alice_principal)
    dead = factories.ended(alice_principal, S.DEAD)
    factories.running(alice_principal)

    assert shown(viewer, state=["completed", "dead"]) == {done.id, dead.id}


def test_the_filters_by_agent_and_tier_find_their_rows(
    viewer, alice_principal, mallory_principal
):
    slow = factories.ended(alice_principal, agent="slow-turn")
    other = factories.ended(mallory_principal)

    assert shown(viewer, agent="slow-turn") == {slow.id}
    assert shown(viewer, tier="mid") == {other.id}


@pytest.mark.parametrize(
    "query", ["state=nonsense", "show=%00", "p=zzz", "o=99", "q=%00", "within=x"]
)
def test_a_strange_address_is_no_error(viewer, alice_principal, query):
    factories.ended(alice_principal)

    response = viewer.get(f"{LIST}?{query}", follow=True)

    assert response.status_code == 200


def test_cancelling_asks_first_and_names_what_it_stops(operator, alice_principal):
    running = factories.running(alice_principal)

    data = {"action": "cancel", "_selected_action": [str(running.id)]}
    response = operator.post(LIST, data)

    assert response.status_code == 200
    assert str(running.id) in response.content.decode()
    assert factories.row(running).cancel_requested_at is None


def test_cancelling_stops_waiting_ones_at_once_and_asks_running_ones(
    operator, alice_principal, mallory_principal
):
    waiting = factories.execution(alice_principal)
    running = factories.running(mallory_principal)

    response = cancel(operator, waiting, running)

    assert "2 executions are being stopped." in response.content.decode()
    assert factories.row(waiting).state == S.CANCELLED
    asked = factories.row(running)
    assert asked.state == S.RUNNING
    assert (asked.cancel_by, asked.cancel_reason) == ("staff", "The customer asked.")


def test_a_cancel_is_written_in_the_name_of_the_staff_member(operator, alice_principal):
    waiting = factories.execution(alice_principal)

    cancel(operator, waiting, reason="Ticket 12")

    with factories.TESTS:
        last = Transition.objects.filter(execution_id=waiting.id).latest("n")
    assert (last.actor_kind, last.actor_label) == (
        "staff",
        "support_operator@netra.example",
    )
    assert last.reason == "Ticket 12"


def test_finished_ones_are_left_alone(operator, alice_principal):
    done = factories.ended(alice_principal)
    version = factories.row(done).version

    response = cancel(operator, done)

    assert "None of them can be cancelled any more." in response.content.decode()
    assert factories.row(done).version == version


@pytest.mark.parametrize("reason", ["", "   "])
def test_without_a_reason_nothing_is_cancelled(operator, alice_principal, reason):
    waiting = factories.execution(alice_principal)

    response = cancel(operator, waiting, reason=reason)

    assert "Say why" in response.content.decode()
    assert factories.row(waiting).state == S.PENDING


@pytest.mark.security
def test_a_viewer_is_not_offered_to_cancel_and_cannot(viewer, alice_principal):
    waiting = factories.execution(alice_principal)

    assert b'value="cancel"' not in viewer.get(LIST).content
    cancel(viewer, waiting)
    one = reverse("admin:executions_execution_cancel", args=[waiting.id])
    response = viewer.post(one, {"reason": "because"})

    assert response.status_code == 403
    assert factories.row(waiting).state == S.PENDING


@pytest.mark.security
def test_the_person_who_asked_cannot_cancel_through_the_admin(
    client, alice, alice_principal
):
    waiting = factories.execution(alice_principal)
    client.force_login(alice)

    one = reverse("admin:executions_execution_cancel", args=[waiting.id])
    client.post(one, {"reason": "because"})
    cancel(client, waiting)

    assert factories.row(waiting).state == S.PENDING


def test_the_inspectors_button_cancels_and_returns(operator, alice_principal):
    waiting = factories.execution(alice_principal)
    one = reverse("admin:executions_execution_cancel", args=[waiting.id])

    response = operator.post(one, {"reason": "because"}, follow=True)

    assert response.status_code == 200
    assert "1 execution is being stopped." in response.content.decode()
    assert factories.row(waiting).state == S.CANCELLED


def test_looking_at_the_address_of_the_button_changes_nothing(
    operator, alice_principal
):
    waiting = factories.execution(alice_principal)

    operator.get(reverse("admin:executions_execution_cancel", args=[waiting.id]))

    assert factories.row(waiting).state == S.PENDING


@pytest.mark.parametrize("wrong", ["nonsense", "00000000-0000-4000-8000-000000000000"])
def test_cancelling_what_does_not_exist_is_404(operator, wrong):
    one = reverse("admin:executions_execution_cancel", args=[wrong])

    assert operator.post(one, {"reason": "because"}).status_code == 404


def test_one_that_moved_meanwhile_is_reported(operator, alice_principal, monkeypatch):
    stale = factories.execution(alice_principal)
    factories.claim(stale)
    monkeypatch.setattr("apps.executions.admin.queries.standings", lambda _: [stale])

    response = cancel(operator, stale)

    assert "1 had moved on meanwhile" in response.content.decode()
    assert factories.row(stale).state == S.STARTING


def test_counting_stops_at_a_limit(viewer, alice_principal, monkeypatch):
    for _ in range(3):
        factories.ended(alice_principal)
    monkeypatch.setattr("apps.core.admin.COUNTED", 2)

    assert viewer.get(LIST).context["cl"].result_count == 2


def test_the_lease_that_a_runner_keeps_is_not_stuck(viewer, alice_principal):
    silent = factories.running(
        alice_principal, now=timezone.now() - timedelta(seconds=20)
    )
    with factories.TESTS:
        row = factories.row(silent)
        actions.beat(owner=row.owner, holds={row.pk: row.lease_token})

    assert shown(viewer, show="stuck") == set()


def test_rows_of_people_are_told_apart_by_organisation(
    viewer, alice_principal, mallory_principal
):
    told(alice_principal)
    told(mallory_principal)

    page = viewer.get(LIST).content.decode()

    assert "alice@acme.example" in page
    assert "mallory@globex.example" in page
