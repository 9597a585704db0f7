"""A question becomes rows once, for those who may ask; its answer is written with its end."""

from __future__ import annotations

import uuid
from datetime import timedelta
from functools import partial

import pytest
from django.utils import timezone

from apps.accounts.models import Membership
from apps.agents import access as agent_access
from apps.agents.models import Agent
from apps.chat import actions
from apps.chat.models import IdempotencyKey, Message, Thread
from apps.core.database import write_now
from apps.core.errors import (
    IdempotencyConflictError,
    NotAllowedError,
    NotFoundError,
)
from apps.core.tenancy import NoScopeError
from apps.executions.models import Event, Execution
from tests import factories
from tests.chat.questions import (
    ask,
    claimed,
    execution_of,
    input_of,
    written,
)
from tests.factories import TESTS


@pytest.fixture(autouse=True)
def nothing_remembered():
    agent_access._remembered.clear()


# -- asking --------------------------------------------------------------------------


def test_a_first_question_opens_a_thread_with_everything_in_it(alice_principal):
    who = alice_principal

    asked = ask(who, "What is\n  x?", client_id="k", metadata={"page": 1})

    with TESTS:
        thread = Thread.objects.get()
        message = Message.objects.get()
        execution = Execution.objects.get()
        event = Event.objects.get()
    assert (thread.pk, thread.user_id, thread.title) == (
        asked.thread_id,
        who.user_id,
        "What is x?",
    )
    assert (message.pk, message.role, message.text, message.client_id) == (
        asked.message_id,
        "user",
        "What is\n  x?",
        "k",
    )
    assert (execution.pk, execution.stream_id, execution.state) == (
        asked.execution_id,
        asked.thread_id,
        "pending",
    )
    assert (execution.waiting_for, execution.timeout_seconds) == ("", 300)
    assert execution.reply_id is not None
    assert (event.seq, event.type, event.execution_id) == (1, "message_created", None)
    assert event.payload == {
        "message_id": str(asked.message_id),
        "role": "user",
        "text": "What is\n  x?",
        "client_id": "k",
    }
    assert asked.seq == 1
    assert input_of(asked) == {
        "text": "What is\n  x?",
        "history": [],
        "model": "",
        "metadata": {"page": 1},
    }


def test_a_long_question_makes_a_short_title(alice_principal):
    asked = ask(alice_principal, "word " * 100)

    with TESTS:
        title = Thread.objects.get(id=asked.thread_id).title
    assert len(title) <= 60
    assert title.endswith("…")


def test_a_follow_up_carries_what_was_said(alice_principal):
    first = ask(alice_principal, "one")
    factories.finish(claimed(first), text="the first answer")

    second = ask(alice_principal, "two", thread_id=first.thread_id)

    assert second.thread_id == first.thread_id
    assert second.seq > first.seq
    assert input_of(second)["history"] == [
        {"role": "user", "text": "one"},
        {"role": "assistant", "text": "the first answer"},
    ]
    with TESTS:
        assert Thread.objects.get().title == "one"


def test_asking_brings_an_archived_thread_back(alice_principal):
    first = ask(alice_principal)
    factories.finish(claimed(first))
    with TESTS:
        Thread.objects.update(archived=True)

    ask(alice_principal, thread_id=first.thread_id)

    with TESTS:
        assert Thread.objects.get().archived is False


@pytest.mark.security
@pytest.mark.parametrize("thief", ["bob_principal", "mallory_principal"])
def test_a_thread_of_others_looks_like_none_and_takes_nothing(
    alice_principal, thief: str, request
):
    theirs = ask(alice_principal, "a secret")
    who = request.getfixturevalue(thief)
    before = written()

    said = []
    for thread_id in (theirs.thread_id, uuid.uuid4()):
        with pytest.raises(NotFoundError) as refusal:
            ask(who, thread_id=thread_id, client_id="k")
        error = refusal.value
        said.append((error.message, error.field, error.fix, error.values))

    assert said[0] == said[1]
    assert written() == before


@pytest.mark.security
def test_who_only_reads_may_not_ask(alice, acme):
    with TESTS:
        Membership.objects.update(role="viewer")
    who = factories.principal(alice, acme)

    with pytest.raises(NotAllowedError):
        ask(who)

    assert not any(written().values())


@pytest.mark.security
def test_nobody_asks_outside_a_scope(alice_principal):
    question = actions.Question(text="t", agent="golden-turn")

    with pytest.raises(NoScopeError):
        actions.ask(principal=alice_principal, question=question)


@pytest.mark.security
def test_nobody_asks_in_another_organisations_scope(alice_principal, mallory_principal):
    question = actions.Question(text="t", agent="golden-turn")
    before = written()

    with pytest.raises(RuntimeError):
        write_now(
            mallory_principal.scope,
            partial(actions.ask, principal=alice_principal, question=question),
        )

    assert written() == before


# -- which agent ---------------------------------------------------------------------


@pytest.mark.parametrize("name", ["nobody", "", "ANALYST", "analyst "])
def test_an_agent_that_is_unknown_is_refused_with_those_that_are_known(
    alice_principal, name: str
):
    if name == "":
        assert execution_of(ask(alice_principal, agent=name)).agent == "analyst"
        return
    with pytest.raises(NotFoundError) as refusal:
        ask(alice_principal, agent=name)

    assert refusal.value.field == "agent"
    assert "analyst" in refusal.value.fix
    assert not any(written().values())


def test_the_analyst_answers_when_no_agent_is_named(alice_principal):
    assert execution_of(ask(alice_principal, agent=None)).agent == "analyst"


@pytest.mark.security
def test_diagnostic_agents_are_for_staff_outside_the_demo(
    alice_principal, support_principal, settings
):
    settings.NETRA_DEMO = False

    with pytest.raises(NotFoundError) as refusal:
        ask(alice_principal, agent="golden-turn")
    staff = ask(support_principal, agent="golden-turn")

    assert "golden-turn" not in refusal.value.fix
    assert execution_of(staff).agent == "golden-turn"


def test_an_agent_that_was_switched_off_is_refused_where_it_was(
    alice_principal, mallory_principal
):
    with TESTS:
        Agent.objects.create(
            organisation_id=alice_principal.organisation_id,
            name="golden-turn",
            title="G",
            enabled=False,
        )

    with pytest.raises(NotFoundError):
        ask(alice_principal)
    assert execution_of(ask(mallory_principal)).agent == "golden-turn"


def test_an_organisations_own_model_goes_into_the_question(alice_principal):
    with TESTS:
        Agent.objects.create(
            organisation_id=alice_principal.organisation_id,
            name="analyst",
            title="A",
            model="openai:gpt-5-mini",
        )

    assert input_of(ask(alice_principal, agent=None))["model"] == "openai:gpt-5-mini"


# -- the same id twice ----------------------------------------------------------------


def test_the_same_question_twice_is_one(alice_principal):
    first = ask(alice_principal, client_id="k")
    before = written()

    again = ask(alice_principal, client_id="k")

    assert again.duplicate
    assert again.answer() == first.answer()
    assert again.entries == ()
    assert written() == before


@pytest.mark.parametrize(
    "other",
    [
        {"text": "other"},
        {"agent": "slow-turn"},
        {"metadata": {"a": 1}},
        {"thread_id": uuid.uuid4()},
    ],
    ids=lambda other: next(iter(other)),
)
def test_the_same_id_for_something_else_is_a_conflict(alice_principal, other: dict):
    ask(alice_principal, client_id="k")
    before = written()

    with pytest.raises(IdempotencyConflictError) as refusal:
        ask(alice_principal, **{"client_id": "k", **other})

    assert refusal.value.field == "id"
    assert written() == before


@pytest.mark.security
def test_ids_of_different_people_never_meet(
    alice_principal, bob_principal, mallory_principal
):
    asked = [
        ask(who, client_id="k")
        for who in (alice_principal, bob_principal, mallory_principal)
    ]

    assert not any(one.duplicate for one in asked)
    assert len({one.thread_id for one in asked}) == 3


def test_without_an_id_nothing_is_the_same(alice_principal):
    assert ask(alice_principal).execution_id != ask(alice_principal).execution_id


def test_a_refused_question_does_not_use_up_its_id(alice_principal):
    with pytest.raises(NotFoundError):
        ask(alice_principal, client_id="k", agent="nobody")

    assert not ask(alice_principal, client_id="k").duplicate


def test_ids_are_forgotten_when_they_are_old(alice_principal):
    now = timezone.now()
    ask(alice_principal, client_id="old", now=now - timedelta(days=8))
    ask(alice_principal, client_id="new", now=now - timedelta(days=6))

    with TESTS:
        dropped = actions.forget_keys(now - timedelta(days=7))
        kept = list(IdempotencyKey.objects.values_list("key", flat=True))

    assert (dropped, kept) == (1, ["new"])
