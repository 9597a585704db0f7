"""A second message while one runs: it waits, is refused, or goes first, as the agent's policy says."""

from __future__ import annotations

from datetime import timedelta
from functools import partial

import pytest
from django.utils import timezone

from apps.agents.catalogue import WhileBusy
from apps.audits.models import Receipt
from apps.chat import actions, precedence
from apps.chat.actions import Question
from apps.chat.limits import WAITING_PER_THREAD
from apps.chat.models import Message
from apps.chat.precedence import INTERRUPTED, ThreadBusyError
from apps.core import flags
from apps.core.database import write_now
from apps.core.flags import Switch
from apps.core.models import Flag
from apps.executions.states import ExecutionState
from tests import factories
from tests.chat.busy import ends_of, running, set_policy
from tests.chat.questions import (
    ask,
    claimed,
    execution_of,
    input_of,
    standing_of,
    written,
)
from tests.factories import TESTS
from tests.invariants import violations
from tests.switches import off

pytestmark = pytest.mark.mission_critical


# -- queue ---------------------------------------------------------------------------


def test_without_a_policy_the_next_question_waits_and_is_told_so(alice_principal):
    first = ask(alice_principal)
    second = ask(alice_principal, thread_id=first.thread_id)

    assert (first.queued, first.policy) == (False, WhileBusy.QUEUE)
    assert (second.queued, second.policy) == (True, WhileBusy.QUEUE)
    assert second.answer()["queued"] is True
    assert second.answer()["policy"] == "queue"
    assert execution_of(first).cancel_requested_at is None


def test_the_same_message_again_says_what_became_of_it_the_first_time(alice_principal):
    first = ask(alice_principal)
    second = ask(alice_principal, thread_id=first.thread_id, client_id="k")

    again = ask(alice_principal, thread_id=first.thread_id, client_id="k")

    assert again.duplicate
    assert again.answer() == second.answer()


# -- reject --------------------------------------------------------------------------


def test_an_agent_that_rejects_takes_one_question_at_a_time(alice_principal):
    set_policy(alice_principal, WhileBusy.REJECT)
    first = ask(alice_principal)
    before = written()

    with pytest.raises(ThreadBusyError) as refusal:
        ask(alice_principal, thread_id=first.thread_id, client_id="k")

    assert (refusal.value.code, refusal.value.status) == ("thread_busy", 409)
    assert "one question at a time" in refusal.value.message
    assert refusal.value.fix
    assert refusal.value.values == {
        "agent": "golden-turn",
        "unanswered": 1,
        "limit": 1,
    }
    assert written() == before
    factories.finish(claimed(first))
    assert not ask(alice_principal, thread_id=first.thread_id, client_id="k").queued


@pytest.mark.security
def test_a_policy_holds_for_its_own_organisation_and_agent_only(
    alice_principal, mallory_principal
):
    set_policy(alice_principal, WhileBusy.REJECT)
    stranger, own = ask(mallory_principal), ask(alice_principal, agent="slow-turn")

    assert ask(mallory_principal, thread_id=stranger.thread_id).queued
    assert ask(alice_principal, agent="slow-turn", thread_id=own.thread_id).queued


# -- interrupt -----------------------------------------------------------------------


@pytest.fixture
def interrupting(alice_principal):
    set_policy(alice_principal, WhileBusy.INTERRUPT)
    return alice_principal


def test_the_next_message_stops_the_running_answer_and_goes_next(
    committed, interrupting
):
    first = ask(interrupting, "one")
    runs = running(first)

    second = ask(interrupting, "two", thread_id=first.thread_id)

    stopped = execution_of(first)
    assert (second.queued, second.policy) == (True, WhileBusy.INTERRUPT)
    assert stopped.cancel_requested_at is not None
    assert (stopped.cancel_by, stopped.cancel_reason) == ("user", INTERRUPTED)
    assert execution_of(second).waiting_for == "predecessor"
    factories.finish(runs, ExecutionState.CANCELLED, text="half an ans")
    assert execution_of(second).waiting_for == ""
    assert [said["text"] for said in input_of(second)["history"]] == [
        "one",
        "half an ans",
    ]
    assert violations() == []


def test_questions_that_still_wait_are_older_than_the_newest_wish(interrupting):
    now = timezone.now()
    first = ask(interrupting, "one", now=now)
    running(first)
    with off(Switch.INTERRUPT):
        waiting = [
            ask(
                interrupting,
                text,
                thread_id=first.thread_id,
                now=now + timedelta(milliseconds=n),
            )
            for n, text in enumerate(("two", "three"), 1)
        ]

    newest = ask(interrupting, "four", thread_id=first.thread_id)

    for asked in waiting:
        assert execution_of(asked).state == "cancelled"
        (end,) = ends_of(asked)
        assert (end["type"], end["by"], end["reason"]) == (
            "agent_cancelled",
            "user",
            INTERRUPTED,
        )
    with TESTS:
        told = Receipt.objects.filter(code="cancelled", explanation=INTERRUPTED)
        assert {row.correlation_id for row in told} == {
            str(asked.execution_id) for asked in waiting
        }
    assert ends_of(first) == []
    assert execution_of(first).cancel_requested_at is not None
    assert newest.queued
    assert violations() == []


def test_where_nothing_runs_yet_the_newest_question_starts_at_once(interrupting):
    first = ask(interrupting, "one")
    claims = []

    def claim(standing, given, now):
        claims.append([said["text"] for said in given["history"]])
        return []

    question = Question(text="two", agent="golden-turn", thread_id=first.thread_id)
    unit = partial(actions.ask, principal=interrupting, question=question, claim=claim)
    second = write_now(interrupting.scope, unit)

    assert execution_of(first).state == "cancelled"
    assert not second.queued
    assert execution_of(second).waiting_for == ""
    assert claims == [["one"]]


def test_an_answer_that_is_being_completed_arrives(committed, interrupting):
    first = ask(interrupting)
    completing = factories.move(running(first), ExecutionState.COMPLETING)

    second = ask(interrupting, thread_id=first.thread_id)

    assert execution_of(first).cancel_requested_at is None
    assert second.queued
    factories.finish(completing, text="The answer.")
    with TESTS:
        reply = Message.objects.get(role="assistant")
    assert (reply.text, reply.partial) == ("The answer.", False)
    assert execution_of(second).waiting_for == ""
    assert violations() == []


def test_many_messages_in_a_row_leave_the_newest_waiting(interrupting):
    first = ask(interrupting)
    running(first)

    later = [
        ask(interrupting, thread_id=first.thread_id)
        for _ in range(WAITING_PER_THREAD + 2)
    ]

    states = [execution_of(asked).state for asked in later]
    assert states == ["cancelled"] * (len(later) - 1) + ["pending"]
    assert violations() == []


@pytest.mark.security
def test_an_interruption_stops_nothing_in_another_thread_or_organisation(
    interrupting, mallory_principal, bob_principal
):
    set_policy(mallory_principal, WhileBusy.INTERRUPT)
    first = ask(interrupting)
    others = [ask(interrupting), ask(bob_principal), ask(mallory_principal)]
    for asked in (first, *others):
        running(asked)

    ask(interrupting, thread_id=first.thread_id)

    assert execution_of(first).cancel_requested_at is not None
    assert [execution_of(asked).cancel_requested_at for asked in others] == [None] * 3


def test_one_that_was_claimed_meanwhile_is_asked_to_stop(interrupting):
    first = ask(interrupting)
    as_it_was = standing_of(first)
    running(first)
    with TESTS:
        before = Receipt.objects.count()

    stop = partial(precedence._stop, interrupting.actor, as_it_was, timezone.now())
    alive = write_now(interrupting.scope, stop)

    assert alive
    assert execution_of(first).cancel_reason == INTERRUPTED
    with TESTS:
        assert Receipt.objects.count() == before  # the cancel that was lost left none


def test_one_that_ended_meanwhile_is_left_as_it_ended(interrupting):
    first = ask(interrupting)
    as_it_was = standing_of(first)
    factories.finish(claimed(first))

    stop = partial(precedence._stop, interrupting.actor, as_it_was, timezone.now())

    assert not write_now(interrupting.scope, stop)
    assert execution_of(first).state == "completed"
    assert len(ends_of(first)) == 1


# -- switched off ----------------------------------------------------------------------


def test_with_the_switch_off_an_interrupting_agent_queues(interrupting):
    first = ask(interrupting)
    running(first)

    with off(Switch.INTERRUPT):
        second = ask(interrupting, thread_id=first.thread_id)

    assert (second.queued, second.policy) == (True, WhileBusy.QUEUE)
    assert execution_of(first).cancel_requested_at is None


def test_the_switch_can_be_off_for_one_organisation(interrupting, mallory_principal):
    set_policy(mallory_principal, WhileBusy.INTERRUPT)
    Flag.objects.create(
        name=Switch.INTERRUPT,
        organisation_id=interrupting.organisation_id,
        percentage=0,
    )
    flags.refresh()

    assert ask(interrupting).policy is WhileBusy.QUEUE
    assert ask(mallory_principal).policy is WhileBusy.INTERRUPT
