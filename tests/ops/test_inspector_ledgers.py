"""What the inspector shows beside states and events: steps, questions, refused moves, the breaker."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from apps.core.content import ContentClosedError
from apps.core.tenancy import staff as staff_scope
from apps.executions import actions, approvals, endings, steps
from apps.executions.approvals import Answer
from apps.executions.errors import ApprovalRequest, Refused
from apps.executions.models import Breaker
from apps.executions.standing import RUNNER
from apps.executions.states import ExecutionState
from apps.ops import inspection
from apps.ops.ledgers import SHOWN, UNKNOWN
from tests import factories
from tests.staff import SECRET, staff, told

S = ExecutionState
SECTIONS = ("steps", "approvals", "refused", "breaker")
CALL = "send:1"


@pytest.fixture
def viewer(client, netra):
    client.force_login(staff("support_viewer", netra))
    return client


@pytest.fixture
def inspect(support):
    def look(standing, now: datetime | None = None) -> inspection.Inspection:
        with staff_scope(support.pk):
            found = inspection.find(str(standing.id))
            assert found is not None
            return inspection.inspect(found, now or timezone.now())

    return look


def page_of(client, standing) -> str:
    url = reverse("admin:executions_execution_change", args=[standing.id])
    response = client.get(url)
    assert response.status_code == 200
    return str(response.content.decode())


def step(standing, key: str, end: str = "") -> None:
    """A step that began in this claim, and how it ended, if it did."""
    now = timezone.now()

    def unit() -> None:
        steps.start(standing, key=key, tool=f"tool_{key}", now=now)
        if end == "finished":
            steps.finish(standing, key=key, result={SECRET: SECRET}, now=now)
        if end == "failed":
            steps.fail(standing, key=key, now=now)

    factories.unit(standing, unit)


def paused(who):
    """An execution that asks, with a secret in all that the agent says about it."""
    standing = factories.running(who)
    request = ApprovalRequest(
        call_id=CALL, tool="send", arguments={SECRET: SECRET}, reason=SECRET
    )
    return factories.unit(
        standing, lambda: approvals.ask(standing, request, now=timezone.now())
    )


def refused(standing, fence: int = 1) -> None:
    facts = Refused(
        execution_id=standing.id,
        organisation_id=standing.organisation_id,
        from_state="running",
        to_state="completing",
        fence=fence,
        attempt=1,
        why="fenced",
    )
    now = timezone.now()
    factories.unit(
        standing, lambda: actions.note_refused_move(facts, actor=RUNNER, now=now)
    )


def test_where_nothing_was_written_there_are_no_sections(viewer, alice_principal):
    html = page_of(viewer, told(alice_principal))

    assert [name for name in SECTIONS if f'data-part="{name}"' in html] == []


def test_steps_are_told_in_plain_words(viewer, inspect, alice_principal):
    standing = factories.running(alice_principal)
    for key, end in (("a", "finished"), ("b", "failed"), ("c", "")):
        step(standing, key, end)

    shown = [
        (told.row.tool, told.badge.words, told.note == UNKNOWN)
        for told in inspect(standing).ledgers.steps
    ]

    assert shown == [
        ("tool_a", "Finished", False),
        ("tool_b", "Failed", False),
        ("tool_c", "At work", False),
    ]
    html = page_of(viewer, standing)
    assert 'data-part="steps"' in html
    assert UNKNOWN not in html


@pytest.mark.parametrize("fate", ["lost", "claimed again", "ended"])
def test_a_step_that_was_cut_off_is_unknown(viewer, alice_principal, fate):
    standing = factories.running(alice_principal)
    step(standing, "a")
    if fate == "ended":
        factories.finish(standing, S.FAILED)
    else:
        now = timezone.now()
        back = factories.unit(
            standing, lambda: actions.lose_lease(standing, now=now, reason="gone")
        )
        if fate == "claimed again":
            factories.claim(back)

    html = page_of(viewer, standing)

    assert UNKNOWN in html
    assert "Unknown</span>" in html


def test_a_question_says_until_when_and_who_answered(viewer, inspect, alice_principal):
    standing = paused(alice_principal)
    (asked,) = inspect(standing).ledgers.approvals
    assert asked.answer == "Not answered yet"
    answer = Answer(call_id=CALL, approve=False, comment=SECRET)
    factories.unit(
        standing,
        lambda: approvals.decide(
            standing, answer, actor=alice_principal.actor, now=timezone.now()
        ),
    )

    html = page_of(viewer, standing)

    assert "Refused by alice@acme.example" in html
    assert "Not answered yet" not in html


def test_a_question_without_an_answer_says_so(inspect, alice_principal):
    late, ended = paused(alice_principal), paused(alice_principal)
    past = timezone.now() + approvals.WAIT
    factories.unit(late, lambda: approvals.expire(late, now=past))
    factories.unit(
        ended,
        lambda: endings.cancel(actor=factories.TESTER, standing=ended, reason="x"),
    )

    answers = [
        told.answer for one in (late, ended) for told in inspect(one).ledgers.approvals
    ]

    assert answers == ["Nobody answered: refused", "It ended before an answer"]


@pytest.mark.security
def test_staff_see_no_word_of_what_was_asked_or_done(viewer, alice_principal):
    standing = factories.running(alice_principal)
    step(standing, "a", "finished")
    asking = paused(alice_principal)
    answer = Answer(call_id=CALL, approve=True, comment=SECRET)
    now, actor = timezone.now(), alice_principal.actor
    factories.unit(
        asking, lambda: approvals.decide(asking, answer, actor=actor, now=now)
    )

    html = page_of(viewer, standing) + page_of(viewer, asking)

    assert SECRET not in html
    assert html.count("1 field, ") >= 2
    assert f"•••• ({len(SECRET)} chars)" in html


@pytest.mark.security
def test_what_was_described_is_in_no_row_any_more(inspect, alice_principal, support):
    asking = paused(alice_principal)

    (told,) = inspect(asking).ledgers.approvals

    with staff_scope(support.pk), pytest.raises(ContentClosedError):
        told.row.arguments  # noqa: B018 - it is read here


def test_a_refused_move_names_who_came_too_late(viewer, alice_principal):
    standing = factories.running(alice_principal)
    refused(standing)

    html = page_of(viewer, standing)

    assert 'data-part="refused"' in html
    assert "Too late: it had moved on" in html
    assert f"<td>{RUNNER.label}</td><td>running</td><td>completing</td>" in html


def test_the_breaker_that_stopped_it_is_shown_as_it_is_now(viewer, alice_principal):
    standing = factories.running(alice_principal)
    wait = timedelta(minutes=5)
    factories.unit(
        standing,
        lambda: actions.try_again(
            standing, now=timezone.now(), wait=wait, reason="busy", breaker="openai:a"
        ),
    )
    assert "It is closed at present" in page_of(viewer, standing)
    now = timezone.now()
    Breaker.objects.create(
        key="openai:a",
        state="open",
        opened_at=now,
        open_until=now + wait,
        updated_at=now,
    )

    html = page_of(viewer, standing)

    assert "openai:a" in html
    assert "It is open: calls are refused for 4 min" in html
    assert "failed, to be tried again" in html
    assert "The next attempt may begin in 4 min" in html


def test_what_was_waited_for_is_drawn(inspect, alice_principal):
    standing = factories.running(alice_principal)
    again = factories.unit(
        standing,
        lambda: actions.try_again(
            standing, now=timezone.now(), wait=timedelta(0), reason="busy"
        ),
    )
    asking = factories.move(factories.claim(again), S.RUNNING)
    request = ApprovalRequest(call_id=CALL, tool="send", arguments={}, reason="?")
    later = timezone.now() + timedelta(seconds=2)
    waiting = factories.unit(asking, lambda: approvals.ask(asking, request, now=later))
    factories.unit(
        waiting,
        lambda: endings.cancel(
            actor=factories.TESTER,
            standing=waiting,
            reason="",
            now=later + timedelta(seconds=2),
        ),
    )

    rows = inspect(standing).waterfall.rows

    shown = [(row.label, row.fate, row.note) for row in rows if row.kind != "phase"]
    assert shown == [
        ("Waiting for a runner", "done", ""),
        ("Attempt 1", "failed", "to be tried again"),
        ("Waiting to be tried again", "done", ""),
        ("Attempt 2", "done", "paused"),
        ("Waiting for approval", "done", ""),
    ]


@pytest.mark.performance
def test_much_in_the_ledgers_costs_as_many_queries_as_little(viewer, alice_principal):
    few, many = factories.running(alice_principal), factories.running(alice_principal)
    for standing, number in ((few, 1), (many, 8)):
        for n in range(1, number + 1):
            step(standing, str(n))
            refused(standing, fence=n)
    page_of(viewer, few)

    with CaptureQueriesContext(connection) as first:
        page_of(viewer, few)
    with CaptureQueriesContext(connection) as second:
        page_of(viewer, many)

    assert len(first) == len(second)


def test_there_is_an_end_to_the_rows(inspect, alice_principal):
    standing = factories.running(alice_principal)
    for n in range(SHOWN + 2):
        refused(standing, fence=n)

    fences = [told.row.fence for told in inspect(standing).ledgers.refused]

    assert fences == list(range(2, SHOWN + 2))
