"""What a conversation looks like to its agent, to its person, and to the sweep."""

from __future__ import annotations

import uuid
from datetime import timedelta

from django.utils import timezone

from apps.chat import queries
from apps.chat.models import Message, Thread
from apps.executions.states import ExecutionState
from tests import factories
from tests.chat.questions import ask, claimed, standing_of
from tests.factories import TESTS


def answered(who, text: str, reply: str, **values):
    asked = ask(who, text, **values)
    factories.finish(claimed(asked), text=reply)
    return asked


def test_history_is_the_newest_messages_oldest_first(alice_principal):
    who, start = alice_principal, timezone.now()
    first = ask(who, "q0")
    with TESTS:
        Message.objects.all().delete()
        Message.objects.bulk_create(
            Message(
                organisation_id=who.organisation_id,
                thread_id=first.thread_id,
                role="user",
                text=f"m{n}",
                created_at=start + timedelta(seconds=n),
            )
            for n in range(25)
        )

    with who.scope:
        said = queries.history(who.organisation_id, first.thread_id)
        short = queries.history(who.organisation_id, first.thread_id, limit=2)

    assert [one["text"] for one in said] == [f"m{n}" for n in range(5, 25)]
    assert [one["text"] for one in short] == ["m23", "m24"]


def test_history_without_waiting_leaves_out_what_was_not_answered_yet(alice_principal):
    who = alice_principal
    first = answered(who, "one", "1")
    second = ask(who, "two", thread_id=first.thread_id)
    ask(who, "three", thread_id=first.thread_id)

    with who.scope:
        said = queries.history_without_waiting(first.thread_id)

    assert [one["text"] for one in said] == ["one", "1"]
    factories.finish(claimed(second), text="2")
    with who.scope:
        said = queries.history_without_waiting(first.thread_id)
    assert sorted(one["text"] for one in said) == ["1", "2", "one", "two"]


def test_threads_are_ones_own_newest_first_with_their_state(
    alice_principal, bob_principal
):
    now = timezone.now()
    old = ask(alice_principal, "old", now=now - timedelta(hours=2))
    new = ask(alice_principal, "new", now=now - timedelta(hours=1))
    ask(bob_principal, "theirs")
    factories.finish(claimed(old), ExecutionState.FAILED)
    archived = ask(alice_principal, "away")
    with TESTS:
        Thread.objects.filter(id=archived.thread_id).update(archived=True)

    with alice_principal.scope:
        rows = list(queries.threads_of(alice_principal.user_id))

    assert [(row.pk, row.last_state) for row in rows] == [
        (new.thread_id, "pending"),
        (old.thread_id, "failed"),
    ]


def test_threads_are_read_in_one_query(alice_principal, django_assert_num_queries):
    for _ in range(3):
        ask(alice_principal)

    with alice_principal.scope, django_assert_num_queries(1):
        assert len(list(queries.threads_of(alice_principal.user_id))) == 3


def test_who_waits_and_how_many_are_alive(alice_principal):
    who = alice_principal
    first = ask(who)

    def facts() -> tuple[bool, int, int]:
        with who.scope:
            return (
                queries.someone_waits(who.organisation_id, first.thread_id),
                queries.alive_count(who.organisation_id, first.thread_id),
                len(queries.threads_with_waiting()),
            )

    assert facts() == (False, 1, 0)
    ask(who, thread_id=first.thread_id)
    ask(who, thread_id=first.thread_id)
    assert facts() == (True, 3, 1)
    factories.finish(factories.claim(standing_of(first)))
    assert facts() == (True, 2, 1)


def test_a_thread_that_does_not_exist_has_nothing(alice_principal):
    who, nowhere = alice_principal, uuid.uuid4()

    with who.scope:
        assert queries.history(who.organisation_id, nowhere) == []
        assert queries.alive_count(who.organisation_id, nowhere) == 0
        assert not queries.someone_waits(who.organisation_id, nowhere)
