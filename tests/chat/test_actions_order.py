"""One question after the other, and the answer that is written with the end."""

from __future__ import annotations

from datetime import timedelta
from functools import partial

import pytest
from django.utils import timezone

from apps.chat import actions
from apps.chat.models import Message
from apps.chat.precedence import ThreadBusyError
from apps.core.database import write_now
from apps.executions import endings
from apps.executions.states import ExecutionState
from tests import factories
from tests.chat.questions import (
    ask,
    claimed,
    execution_of,
    input_of,
    standing_of,
    written,
)
from tests.factories import TESTS

# -- one after the other --------------------------------------------------------------


def release(who, asked) -> bool:
    return write_now(who.scope, lambda: actions.release_next(asked.thread_id))


def test_a_question_waits_for_the_one_before_it(alice_principal):
    first = ask(alice_principal, "one")
    second = ask(alice_principal, "two", thread_id=first.thread_id)

    assert execution_of(first).waiting_for == ""
    assert execution_of(second).waiting_for == "predecessor"
    assert not release(alice_principal, first)


def test_waiting_questions_go_in_their_order_with_the_talk_as_it_is(alice_principal):
    now = timezone.now()
    thread = {}
    asked = []
    for n, text in enumerate(("one", "two", "three")):
        at = now + timedelta(milliseconds=n)
        asked.append(ask(alice_principal, text, now=at, **thread))
        thread = {"thread_id": asked[0].thread_id}
    factories.finish(claimed(asked[0]), text="first")

    assert release(alice_principal, asked[0])
    assert not release(alice_principal, asked[0])

    states = [execution_of(one).waiting_for for one in asked]
    assert states == ["", "", "predecessor"]
    assert input_of(asked[1])["history"] == [
        {"role": "user", "text": "one"},
        {"role": "assistant", "text": "first"},
    ]
    factories.finish(claimed(asked[1]), text="second")
    assert release(alice_principal, asked[0])
    assert [said["text"] for said in input_of(asked[2])["history"]] == [
        "one",
        "two",
        "first",
        "second",
    ]


def test_a_thread_takes_five_waiting_questions_and_no_more(
    alice_principal,
):
    first = ask(alice_principal)
    for _ in range(5):
        ask(alice_principal, thread_id=first.thread_id)
    before = written()

    with pytest.raises(ThreadBusyError) as refusal:
        ask(alice_principal, thread_id=first.thread_id, client_id="k")

    assert refusal.value.values == {"waiting": 5, "limit": 5}
    assert written() == before
    assert ask(alice_principal).thread_id != first.thread_id


def test_the_end_of_one_lets_the_next_go(committed, alice_principal):
    first = ask(alice_principal)
    second = ask(alice_principal, thread_id=first.thread_id)

    factories.finish(claimed(first))

    assert execution_of(second).waiting_for == ""


# -- the answer ----------------------------------------------------------------------


def test_the_answer_is_written_with_the_end(alice_principal):
    asked = ask(alice_principal)
    standing = factories.finish(claimed(asked), text="The answer.")

    with TESTS:
        reply = Message.objects.get(role="assistant")
    assert (reply.pk, reply.thread_id, reply.text, reply.partial) == (
        standing.reply_id,
        asked.thread_id,
        "The answer.",
        False,
    )
    assert (reply.execution_id, reply.agent) == (asked.execution_id, "golden-turn")


def test_an_end_that_is_undone_takes_its_answer_with_it(alice_principal):
    asked = ask(alice_principal)
    standing = claimed(asked)

    def unit() -> None:
        endings.finish(
            standing,
            factories.ending(text="lost"),
            actor=factories.TESTER,
            now=timezone.now(),
        )
        assert Message.objects.filter(role="assistant").exists()
        raise RuntimeError("undone")

    with pytest.raises(RuntimeError, match="undone"):
        write_now(alice_principal.scope, unit)

    with TESTS:
        assert not Message.objects.filter(role="assistant").exists()
    assert execution_of(asked).state == "starting"


@pytest.mark.parametrize(
    "state",
    [ExecutionState.FAILED, ExecutionState.CANCELLED, ExecutionState.TIMEOUT],
)
def test_what_was_said_before_a_bad_end_is_kept_as_partial(alice_principal, state):
    asked = ask(alice_principal)
    factories.finish(claimed(asked), state, text="half an ans")

    with TESTS:
        reply = Message.objects.get(role="assistant")
    assert (reply.text, reply.partial) == ("half an ans", True)


def test_no_words_are_no_message(alice_principal):
    asked = ask(alice_principal)
    factories.finish(claimed(asked), ExecutionState.FAILED, text="")

    with TESTS:
        assert Message.objects.count() == 1


def test_an_execution_of_no_thread_writes_no_message(alice_principal):
    factories.ended(alice_principal, reply_id=None, text="to nobody")

    with TESTS:
        assert not Message.objects.exists()


def test_a_claim_in_the_same_unit_is_told_at_once(alice_principal):
    seen = []

    def claim(standing, given, now):
        seen.append((standing.id, given["text"]))
        return []

    question = actions.Question(text="t", agent="golden-turn")
    asked = write_now(
        alice_principal.scope,
        partial(actions.ask, principal=alice_principal, question=question, claim=claim),
    )
    assert seen == [(asked.execution_id, "t")]

    again = actions.Question(text="u", agent="golden-turn", thread_id=asked.thread_id)
    write_now(
        alice_principal.scope,
        partial(actions.ask, principal=alice_principal, question=again, claim=claim),
    )
    assert len(seen) == 1  # what waits is claimed by nobody
    assert standing_of(asked).state is ExecutionState.PENDING
