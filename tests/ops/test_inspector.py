"""The inspector: one page for every state, a fragment that follows a living execution."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from apps.executions import actions, journal, moves
from apps.executions.journal import Draft
from apps.executions.states import EventType, ExecutionState, Phase
from apps.issues import sweeper
from tests import factories
from tests.staff import staff, told

S = ExecutionState
BOUND = 19  # as of support access: the masks, and what the viewer may do about them


@pytest.fixture
def viewer(client, netra):
    client.force_login(staff("support_viewer", netra))
    return client


@pytest.fixture
def operator(client, netra):
    client.force_login(staff("support_operator", netra))
    return client


def url(standing, name: str = "change") -> str:
    return reverse(f"admin:executions_execution_{name}", args=[standing.id])


def in_state(who, state: ExecutionState):
    match state:
        case S.PENDING:
            return factories.execution(who)
        case S.STARTING:
            return factories.claimed(who)
        case S.RUNNING:
            return factories.running(who)
        case S.COMPLETING:
            return factories.move(factories.running(who), S.COMPLETING)
    return factories.ended(who, state)


@pytest.mark.parametrize("state", list(S))
def test_every_state_has_its_page_and_its_fragment(viewer, alice_principal, state):
    standing = in_state(alice_principal, state)

    page, fragment = viewer.get(url(standing)), viewer.get(url(standing, "live"))

    assert page.status_code == fragment.status_code == 200
    for html in (page.content.decode(), fragment.content.decode()):
        assert f"state-{state}" in html
        assert str(standing.id) in html
    alive = state in {S.PENDING, S.STARTING, S.RUNNING, S.COMPLETING}
    assert ("X-Netra-Terminal" in fragment) is not alive
    assert ("data-live" in page.content.decode()) is alive


def test_the_sentence_says_how_it_stands(viewer, alice_principal):
    sentences = {
        state: viewer.get(url(in_state(alice_principal, state))).context["i"].sentence
        for state in S
    }

    beginnings = {
        S.PENDING: "Waiting for a runner",
        S.STARTING: "At work for",
        S.RUNNING: "At work for",
        S.COMPLETING: "At work for",
        S.COMPLETED: "Done in",
        S.FAILED: "Failed after",
        S.TIMEOUT: "Took too long",
        S.DEAD: "Contact was lost 1 time;",
        S.CANCELLED: "Stopped by",
    }
    assert {s: sentences[s].startswith(words) for s, words in beginnings.items()} == (
        dict.fromkeys(S, True)
    )


def test_silence_is_told(viewer, alice_principal):
    then = timezone.now() - timedelta(seconds=25)
    standing = factories.running(alice_principal, now=then)

    sentence = viewer.get(url(standing)).context["i"].sentence

    assert "No sign of life for" in sentence


def test_a_failure_shows_its_receipt_and_its_issue(viewer, alice_principal):
    standing = told(alice_principal)
    sweeper.sweep()

    html = viewer.get(url(standing)).content.decode()

    assert "The provider failed." in html
    assert "Ask again." in html
    assert "ProviderError" in html
    assert ">#1</a>" in html


def test_steps_and_tools_are_drawn_with_words(viewer, alice_principal):
    standing = told(alice_principal)

    fall = viewer.get(url(standing)).context["i"].waterfall

    labels = [row.label for row in fall.rows]
    assert "Attempt 1" in labels
    assert "Tool lookup" in labels
    assert any("created" in label.lower() for label in labels)
    tool = next(row for row in fall.rows if row.label == "Tool lookup")
    assert tool.fate == "failed"  # its status is not "ok"


def test_a_lost_attempt_and_the_next_one_are_both_drawn(viewer, alice_principal):
    first = factories.running(alice_principal)
    lost = factories.write_now(
        alice_principal.scope,
        lambda: actions.lose_lease(first, now=timezone.now(), reason="gone"),
    )
    factories.claim(lost)

    inspection = viewer.get(url(first)).context["i"]

    shown = [(row.label, row.fate) for row in inspection.waterfall.rows]
    assert ("Attempt 1", "failed") in shown
    assert ("Attempt 2", "open") in shown
    assert [row.reason for row in inspection.transitions][-2:] == ["gone", "claimed"]


def test_others_of_the_conversation_are_linked(viewer, alice_principal):
    first = factories.ended(alice_principal)
    second = factories.ended(alice_principal, stream_id=first.stream_id)
    stranger = factories.ended(alice_principal)

    html = viewer.get(url(first)).content.decode()

    assert url(second) in html
    assert url(stranger) not in html


@pytest.mark.security
@pytest.mark.parametrize("name", ["change", "live"])
@pytest.mark.parametrize(
    "wrong", ["nonsense", "00000000-0000-4000-8000-00000000abcd", "1/2", "%00"]
)
def test_what_does_not_exist_is_404(viewer, db, name, wrong):
    path = f"/admin/executions/execution/{wrong}/{name}/"

    assert viewer.get(path).status_code == 404


@pytest.mark.security
def test_staff_without_the_permission_are_refused(client, support, alice_principal):
    standing = factories.ended(alice_principal)
    client.force_login(support)

    assert client.get(url(standing)).status_code == 403
    assert client.get(url(standing, "live")).status_code == 403


@pytest.mark.security
def test_members_do_not_reach_even_their_own(client, alice, alice_principal):
    standing = factories.ended(alice_principal)
    client.force_login(alice)

    for name in ("change", "live"):
        response = client.get(url(standing, name), follow=True)
        assert response.status_code == 403
        assert str(standing.id) not in response.content.decode()


def test_nobody_edits_an_execution(operator, alice_principal):
    standing = factories.ended(alice_principal)

    assert operator.post(url(standing), {"state": "running"}).status_code == 405


@pytest.mark.parametrize("state", list(S))
def test_the_button_to_cancel_is_there_when_the_state_allows_it(
    operator, alice_principal, state
):
    html = operator.get(url(in_state(alice_principal, state))).content.decode()

    assert ("Cancel execution" in html) is (state in {S.PENDING, S.STARTING, S.RUNNING})


def test_a_viewer_is_told_why_there_is_no_button(viewer, alice_principal):
    html = viewer.get(url(factories.running(alice_principal))).content.decode()

    assert "Cancel execution" not in html
    assert "Your role may look at executions and not cancel them." in html


def test_a_stop_that_was_asked_for_is_shown_instead_of_the_button(
    operator, alice_principal
):
    standing = factories.running(alice_principal)
    operator.post(url(standing, "cancel"), {"reason": "Ticket 12"})

    html = operator.get(url(standing)).content.decode()

    assert "It was asked to stop" in html
    assert "Ticket 12" in html
    assert "Cancel execution" not in html


# -- the live part ---------------------------------------------------------------------


def ask(client, standing, tag: str = ""):
    headers = {"If-None-Match": tag} if tag else {}
    return client.get(url(standing, "live"), headers=headers)


@pytest.fixture
def one_moment(monkeypatch):
    now = timezone.now()
    monkeypatch.setattr("apps.ops.inspector.timezone.now", lambda: now)


def test_what_has_not_changed_is_not_sent_again(viewer, alice_principal, one_moment):
    standing = factories.running(alice_principal)
    tag = ask(viewer, standing)["ETag"]

    again = ask(viewer, standing, tag)

    assert (again.status_code, again.content, again["ETag"]) == (304, b"", tag)
    assert "X-Netra-Terminal" not in again


@pytest.mark.parametrize("change", ["event", "phase", "beat", "stop", "end"])
def test_every_change_is_sent(viewer, alice_principal, one_moment, change):
    standing = factories.running(alice_principal)
    tag = ask(viewer, standing)["ETag"]

    factories.write_now(alice_principal.scope, lambda: _change(standing, change))

    answer = ask(viewer, standing, tag)
    assert answer.status_code == 200
    assert answer["ETag"] != tag
    assert ("X-Netra-Terminal" in answer) is (change == "end")


def _change(standing, change: str) -> None:
    now = timezone.now()
    match change:
        case "event":
            journal.append(
                organisation_id=standing.organisation_id,
                stream_id=standing.stream_id,
                drafts=[Draft(type=EventType.AGENT_THINKING)],
                now=now,
                execution_id=standing.id,
                attempt=1,
            )
        case "phase":
            moves.enter_phase(standing, (Phase.CREATED, now))
        case "beat":
            later = now + timedelta(seconds=10)
            holds = {standing.id: standing.lease_token}
            assert actions.beat(owner=factories.OWNER, holds=holds, now=later)
        case "stop":
            actions.request_cancel(
                actor=factories.TESTER, standing=standing, reason="", now=now
            )
        case "end":
            factories.finish(standing)


def test_a_page_that_lives_is_drawn_again_now_and_then(
    viewer, alice_principal, monkeypatch
):
    standing = factories.running(alice_principal)
    now = timezone.now()
    monkeypatch.setattr("apps.ops.inspector.timezone.now", lambda: now)
    tag = ask(viewer, standing)["ETag"]
    now += timedelta(seconds=11)

    assert ask(viewer, standing, tag).status_code == 200


def test_the_last_answer_stays_the_last(viewer, alice_principal):
    standing = factories.ended(alice_principal)
    tag = ask(viewer, standing)["ETag"]

    again = ask(viewer, standing, tag)

    assert again.status_code == 304
    assert again["X-Netra-Terminal"] == "1"


def test_every_part_of_the_fragment_has_its_own_name(viewer, alice_principal):
    html = ask(viewer, told(alice_principal)).content.decode()

    names = re.findall(r'data-part="([^"]+)"', html)
    assert len(names) == len(set(names)) == html.count("<section")


@pytest.mark.performance
def test_the_page_asks_the_database_a_bounded_number_of_times(viewer, alice_principal):
    few = told(alice_principal)
    many = told(alice_principal)
    for _ in range(5):
        factories.ended(alice_principal, stream_id=many.stream_id)
    viewer.get(url(few))

    with CaptureQueriesContext(connection) as first:
        viewer.get(url(few))
    with CaptureQueriesContext(connection) as second:
        viewer.get(url(many))

    assert len(second) == len(first) <= BOUND


@pytest.mark.performance
def test_an_unchanged_fragment_is_cheaper_than_the_page(viewer, alice_principal):
    standing = told(alice_principal)
    tag = ask(viewer, standing)["ETag"]

    with CaptureQueriesContext(connection) as asked:
        ask(viewer, standing, tag)

    assert len(asked) <= 10  # one of them: whether the session still counts


@pytest.mark.security
def test_text_from_outside_is_escaped(operator, alice_principal):
    standing = factories.running(alice_principal)
    evil = '"><img src=x onerror=alert(1)>{{ 7 }}'
    operator.post(url(standing, "cancel"), {"reason": evil})

    html = operator.get(url(standing)).content.decode()

    assert "<img src=x" not in html
    assert "&lt;img src=x" in html
