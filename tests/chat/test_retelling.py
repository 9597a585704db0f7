"""What the page shows of an answer beside its text, when the server draws it: steps and questions."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from apps.chat.retelling import told_by_events
from apps.executions import actions, approvals, endings, journal
from apps.executions.approvals import Answer
from apps.executions.errors import ApprovalRequest
from apps.executions.journal import Draft
from apps.executions.states import EventType, ExecutionState
from tests import factories
from tests.chat.questions import ask

S = ExecutionState
CALL = "send:1"
EVIL = '"><img src=x onerror=alert(1)>'


@pytest.fixture
def asking(alice_principal):
    """alice's question, whose agent asks her before it goes on."""
    asked = ask(alice_principal)
    return paused(factories.claim(standing_of(asked)))


def standing_of(asked):
    with factories.TESTS:
        found = factories.queries.standing_of(asked.execution_id)
    assert found is not None
    return found


def paused(claimed, call_id: str = CALL):
    running = factories.move(claimed, S.RUNNING)
    request = ApprovalRequest(
        call_id=call_id, tool="send", arguments={"to": EVIL}, reason=EVIL
    )
    return factories.unit(
        running, lambda: approvals.ask(running, request, now=timezone.now())
    )


def decide(standing, who, *, approve: bool, comment: str = ""):
    answer = Answer(call_id=CALL, approve=approve, comment=comment)
    return factories.unit(
        standing,
        lambda: approvals.decide(standing, answer, actor=who.actor, now=timezone.now()),
    )


def steps_of(standing, who) -> list[dict]:
    with who.scope:
        return told_by_events(standing.stream_id)[standing.id].steps


def test_an_open_question_is_on_the_page(client, alice, alice_principal, asking):
    client.force_login(alice)

    html = client.get(f"/chat/{asking.stream_id}/").content.decode()

    assert 'data-approved=""' in html
    assert f'data-call="{CALL}"' in html
    assert "The agent asks before it uses" in html
    assert "Waiting for your decision." in html
    assert "1 step<" in html


@pytest.mark.security
def test_what_the_agent_says_in_a_question_is_text(client, alice, asking):
    client.force_login(alice)

    html = client.get(f"/chat/{asking.stream_id}/").content.decode()

    assert "<img src=x" not in html
    assert html.count("&lt;img src=x") >= 2


@pytest.mark.parametrize(
    ("approve", "comment", "words"),
    [
        (True, "", "Approved by you."),
        (False, "", "Refused by you."),
        (False, "not today", "Refused by you: not today"),
    ],
)
def test_the_answer_stays_on_the_page(
    client, alice, alice_principal, asking, approve, comment, words
):
    decide(asking, alice_principal, approve=approve, comment=comment)
    client.force_login(alice)

    html = client.get(f"/chat/{asking.stream_id}/").content.decode()

    assert f'<p class="approval-said">{words}</p>' in html
    assert f'data-approved="{"yes" if approve else "no"}"' in html


def test_no_answer_in_time_is_told(alice_principal, asking):
    late = timezone.now() + approvals.WAIT + timedelta(seconds=1)
    factories.unit(asking, lambda: approvals.expire(asking, now=late))

    (step,) = steps_of(asking, alice_principal)

    assert step["words"] == "Refused: nobody answered in time."


def test_a_question_is_void_when_its_execution_ends(alice_principal, asking):
    factories.unit(
        asking,
        lambda: endings.cancel(actor=factories.TESTER, standing=asking, reason=""),
    )

    (step,) = steps_of(asking, alice_principal)

    assert (step["approved"], step["words"]) == ("void", "No longer needed.")


def test_a_later_attempt_forgets_calls_and_keeps_answers(alice_principal, asking):
    released = decide(asking, alice_principal, approve=True)
    claimed = factories.claim(factories.present(released))
    running = factories.move(claimed, S.RUNNING)
    called(running, "a")
    lost = factories.unit(
        running, lambda: actions.lose_lease(running, now=timezone.now(), reason="gone")
    )
    last = factories.move(factories.claim(lost), S.RUNNING)
    called(last, "b", status="ok")

    steps = steps_of(asking, alice_principal)

    shown = [(step["call_id"], step.get("words"), step.get("status")) for step in steps]
    assert shown == [(CALL, "Approved by you.", None), ("b", None, "ok")]


def called(standing, call_id: str, status: str = "") -> None:
    """What the log holds of one call, and of its end if it has a status."""
    call = {"call_id": call_id, "tool": "lookup"}
    drafts = [Draft(type=EventType.TOOL_EXECUTING, payload=call)]
    if status:
        ended = call | {"status": status, "ms": 1}
        drafts.append(Draft(type=EventType.TOOL_COMPLETED, payload=ended))
    factories.unit(
        standing,
        lambda: journal.append(
            organisation_id=standing.organisation_id,
            stream_id=standing.stream_id,
            drafts=drafts,
            now=timezone.now(),
            execution_id=standing.id,
            attempt=standing.attempt,
        ),
    )


def test_the_page_knows_the_attempt_that_was_announced(client, alice, asking):
    """A question of a later attempt would else be taken for one of an earlier attempt."""
    client.force_login(alice)
    page = f"/chat/{asking.stream_id}/"
    assert 'data-attempt="1"' in client.get(page).content.decode()
    answered = factories.unit(
        asking, lambda: approvals.expire(asking, now=timezone.now())
    )
    paused(factories.claim(factories.present(answered)), call_id="send:2")

    html = client.get(page).content.decode()

    assert 'data-attempt="2"' in html
    assert html.count('data-approved=""') == 1
