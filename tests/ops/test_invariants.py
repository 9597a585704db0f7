"""The checker itself: each invariant broken on purpose gives exactly its line, and nothing else."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.db.models import F, Model
from django.utils import timezone

from apps.accounts.access import Principal
from apps.chat.models import Delivery, IdempotencyKey, Message
from apps.executions.models import (
    Approval,
    Attempt,
    Event,
    Execution,
    PhaseEntry,
    Step,
    Stream,
    Transition,
)
from apps.executions.states import ExecutionState
from apps.ops import invariants
from tests import factories
from tests.chat.questions import ask, claimed
from tests.factories import TESTS

pytestmark = [pytest.mark.django_db, pytest.mark.mission_critical]
HOUR = timedelta(hours=1)


@dataclass(frozen=True)
class Answered:
    """A question of Alice's with its answer: what the plants below break."""

    id: uuid.UUID
    thread: uuid.UUID
    message: uuid.UUID
    who: Principal


@pytest.fixture
def answered(alice_principal) -> Answered:
    asked = ask(alice_principal, client_id="first")
    standing = factories.move(claimed(asked), ExecutionState.RUNNING)
    factories.finish(standing)
    return Answered(
        asked.execution_id, asked.thread_id, asked.message_id, alice_principal
    )


def lines(**wanted: Any) -> list[str]:
    return [str(violation) for violation in invariants.violations(**wanted)]


def loosened(model: type[Model]) -> None:
    """Put a table without constraints before the real one, until the test is rolled back."""
    table = connection.ops.quote_name(model._meta.db_table)
    schema = "main" if connection.vendor == "sqlite" else "public"
    with connection.cursor() as cursor:
        cursor.execute(
            f"CREATE TEMPORARY TABLE {table} AS SELECT * FROM {schema}.{table}"  # noqa: S608
        )


def doubled(model: type[Model], pk: object, **changed: object) -> None:
    """Insert the row once more, under another id."""
    row = model.objects.filter(pk=pk).values().get()
    model.objects.create(**(row | {"id": uuid.uuid4()} | changed))


# -- each invariant, broken ----------------------------------------------------------------


def number_without_event(row: Answered) -> str:
    Stream.objects.filter(pk=row.thread).update(last=F("last") + 1)
    return f"I1 stream {row.thread}: has 3 events from 1 to 3, not 1 to 4"


def hole_in_the_log(row: Answered) -> str:
    loosened(Event)
    Event.objects.filter(stream_id=row.thread, seq=1).delete()
    doubled(Event, Event.objects.get(seq=2).pk, event_uid=uuid.uuid4())
    return f"I1 stream {row.thread}: has 3 events from 2 to 3, not 1 to 3"


def log_that_is_empty(row: Answered) -> str:
    stream = factories.stream(row.who)
    Stream.objects.filter(pk=stream).update(last=2)
    return f"I1 stream {stream}: has 0 events from None to None, not 1 to 2"


def event_told_twice(row: Answered) -> str:
    loosened(Event)
    event = Event.objects.get(stream_id=row.thread, seq=1)
    Stream.objects.filter(pk=row.thread).update(last=4)
    doubled(Event, event.pk, seq=4)
    return f"I2 event {event.event_uid}: is there 2 times"


def _delivery(row: Answered, **values: int) -> Delivery:
    given = {"began_after": 0, "sent_to": 3, "acknowledged_to": 3} | values
    made: Delivery = Delivery.objects.create(
        organisation_id=row.who.organisation_id, thread_id=row.thread,
        user_id=row.who.user_id, connection_id=uuid.uuid4(), door="websocket",
        opened_at=timezone.now(), **given,
    )  # fmt: skip
    return made


def sent_what_is_not_there(row: Answered) -> str:
    pk = _delivery(row, sent_to=4).pk
    return f"I3 delivery {pk}: began after 0, was sent up to 4 and acknowledged 3 of 3 events"


def began_beyond_the_log(row: Answered) -> str:
    pk = _delivery(row, began_after=4).pk
    return f"I3 delivery {pk}: began after 4, was sent up to 3 and acknowledged 3 of 3 events"


def acknowledged_what_was_not_sent(row: Answered) -> str:
    pk = _delivery(row).pk
    loosened(Delivery)
    Delivery.objects.update(sent_to=2)
    return f"I3 delivery {pk}: began after 0, was sent up to 2 and acknowledged 3 of 3 events"


def forbidden_move(row: Answered) -> str:
    moves = Transition.objects.filter(execution_id=row.id)
    moves.filter(to_state="completing").delete()
    moves.filter(to_state="completed").update(n=4, from_state="running")
    Execution.objects.filter(pk=row.id).update(version=4)
    return f"I4 execution {row.id}: went from running to completed"


def move_from_elsewhere(row: Answered) -> str:
    moves = Transition.objects.filter(execution_id=row.id)
    moves.filter(to_state="running").delete()
    moves.filter(n__gt=3).update(n=F("n") - 1)
    Execution.objects.filter(pk=row.id).update(version=4)
    return f"I4 execution {row.id}: went to starting, then from running to completing"


def move_without_history(row: Answered) -> str:
    Execution.objects.filter(pk=row.id).update(version=6)
    return (
        f"I4 execution {row.id}: is completed at version 6, its history has 5 moves"
        " and does not lead there"
    )


def state_set_by_hand(row: Answered) -> str:
    Execution.objects.filter(pk=row.id).update(state="failed", error_code="x")
    Event.objects.filter(execution_id=row.id, final=True).update(type="agent_error")
    return (
        f"I4 execution {row.id}: is failed at version 5, its history has 5 moves"
        " and does not lead there"
    )


def forbidden_phase(row: Answered) -> str:
    PhaseEntry.objects.create(
        organisation_id=row.who.organisation_id, execution_id=row.id, fence=1, n=1,
        phase="thinking", at=timezone.now(),
    )  # fmt: skip
    return f"I4 execution {row.id}: went from phase nothing to thinking"


def end_without_event(row: Answered) -> str:
    Event.objects.filter(execution_id=row.id).update(final=False)
    return f"I5 execution {row.id}: is completed with 0 terminal events"


def wrong_end(row: Answered) -> str:
    Event.objects.filter(execution_id=row.id, final=True).update(type="agent_error")
    return (
        f"I5 execution {row.id}: is completed with 1 terminal events: agent_error at 3,"
        " its newest at 3"
    )


def event_after_the_end(row: Answered) -> str:
    Event.objects.filter(execution_id=row.id, final=True).update(seq=99)
    Event.objects.filter(execution_id=row.id, final=False).update(seq=3)
    Event.objects.filter(seq=99).update(seq=2)
    return (
        f"I5 execution {row.id}: is completed with 1 terminal events: agent_completed at 2,"
        " its newest at 3"
    )


def end_of_what_still_runs(row: Answered) -> str:
    standing = factories.running(row.who)
    Event.objects.filter(execution_id=standing.id).update(
        final=True, type="agent_completed"
    )
    return (
        f"I5 execution {standing.id}: is running with 1 terminal events:"
        " agent_completed at 1, its newest at 1"
    )


def old_attempt_after_a_new_one(row: Answered) -> str:
    Execution.objects.filter(pk=row.id).update(attempt=2)
    Event.objects.filter(execution_id=row.id, final=False).update(attempt=2)
    return (
        f"I6 execution {row.id}: has event 3 of attempt 1 after attempt 2, of 2 in all"
    )


def attempt_that_never_was(row: Answered) -> str:
    Event.objects.filter(execution_id=row.id, final=True).update(attempt=2)
    return (
        f"I6 execution {row.id}: has event 3 of attempt 2 after attempt 1, of 1 in all"
    )


def claim_left_open(row: Answered) -> str:
    Attempt.objects.filter(execution_id=row.id).update(ended_at=None)
    return (
        f"I7 execution {row.id}: is completed at fence 1 with 1 claims up to 1, 1 open,"
        " and no lease"
    )


def claim_that_never_was(row: Answered) -> str:
    Execution.objects.filter(pk=row.id).update(fence=2)
    return (
        f"I7 execution {row.id}: is completed at fence 2 with 1 claims up to 1, 0 open,"
        " and no lease"
    )


def two_claims_at_once(row: Answered) -> str:
    standing = factories.running(row.who)
    loosened(Attempt)
    attempt = Attempt.objects.get(execution_id=standing.id)
    doubled(Attempt, attempt.pk, fence=2)
    Execution.objects.filter(pk=standing.id).update(fence=2)
    return (
        f"I7 execution {standing.id}: is running at fence 2 with 2 claims up to 2, 2 open,"
        " and a lease"
    )


def moved_with_an_old_fence(row: Answered) -> str:
    Transition.objects.filter(execution_id=row.id, n=4).update(fence=2)
    return f"I7 execution {row.id}: was moved at fence 1 after fence 2"


def outlived_its_deadline(row: Answered) -> str:
    standing = factories.running(row.who, now=timezone.now() - HOUR)
    deadline = factories.row(standing).deadline_at
    return f"I8 execution {standing.id}: is running, past {deadline:%Y-%m-%d %H:%M:%S}"


def never_taken(row: Answered) -> str:
    standing = factories.execution(row.who, now=timezone.now() - HOUR)
    limit = factories.row(standing).created_at + timedelta(minutes=10)
    return f"I8 execution {standing.id}: is pending, past {limit:%Y-%m-%d %H:%M:%S}"


def decision_that_nobody_made(row: Answered) -> str:
    now = timezone.now()
    Approval.objects.create(
        organisation_id=row.who.organisation_id, execution_id=row.id, call_id="c",
        tool="t", asked_at=now - 2 * HOUR, expires_at=now - HOUR,
    )  # fmt: skip
    expired = f"{now - HOUR:%Y-%m-%d %H:%M:%S}"
    return f"I8 execution {row.id}: waits for a decision that expired {expired}"


def question_without_execution(row: Answered) -> str:
    Message.objects.filter(pk=row.message).update(execution_id=uuid.uuid4())
    return f"I9 message {row.message}: has no execution in its thread"


def question_written_twice(row: Answered) -> str:
    doubled(Message, row.message)
    return f"I9 thread {row.thread}: has 2 questions for 1 executions of 1"


def execution_that_nobody_asked_for(row: Answered) -> str:
    factories.ended(row.who, stream_id=row.thread, text="")
    return f"I9 thread {row.thread}: has 1 questions for 1 executions of 2"


def key_that_names_nothing(row: Answered) -> str:
    key = IdempotencyKey.objects.get()
    other = str(uuid.uuid4())
    IdempotencyKey.objects.update(answer=key.answer | {"execution_id": other})
    return f"I9 idempotency key {key.pk}: names execution {other}, which is not so"


def _step(row: Answered, **values: object) -> Step:
    now = timezone.now()
    given = {"key": "k", "state": "finished", "planned_at": now, "started_at": now}
    given |= {"finished_at": now, "fence": 1, "attempt": 1}
    made: Step = Step.objects.create(
        organisation_id=row.who.organisation_id, execution_id=row.id, tool="t",
        **(given | values),
    )  # fmt: skip
    return made


def step_ended_before_it_began(row: Answered) -> str:
    _step(row, finished_at=timezone.now() - HOUR)
    return f"I10 execution {row.id}: has step k finished before it began, or in a claim that was not"


def step_of_a_claim_that_was_not(row: Answered) -> str:
    _step(row, fence=2)
    return f"I10 execution {row.id}: has step k finished before it began, or in a claim that was not"


def step_done_twice(row: Answered) -> str:
    step = _step(row)
    loosened(Step)
    doubled(Step, step.pk)
    return f"I10 execution {row.id}: has step k 2 times"


def row_of_another_organisation(row: Answered) -> str:
    other = factories.organisation("elsewhere")
    move = Transition.objects.get(execution_id=row.id, n=1)
    Transition.objects.filter(pk=move.pk).update(organisation_id=other.pk)
    return f"I12 transition {move.pk}: is another organisation's than its execution"


PLANTS: list[Callable[[Answered], str]] = [
    number_without_event, hole_in_the_log, log_that_is_empty, event_told_twice,
    sent_what_is_not_there, began_beyond_the_log, acknowledged_what_was_not_sent,
    forbidden_move, move_from_elsewhere, move_without_history, state_set_by_hand,
    forbidden_phase, end_without_event, wrong_end, event_after_the_end,
    end_of_what_still_runs, old_attempt_after_a_new_one, attempt_that_never_was,
    claim_left_open, claim_that_never_was, two_claims_at_once, moved_with_an_old_fence,
    outlived_its_deadline, never_taken, decision_that_nobody_made,
    question_without_execution, question_written_twice, execution_that_nobody_asked_for,
    key_that_names_nothing, step_ended_before_it_began, step_of_a_claim_that_was_not,
    step_done_twice, row_of_another_organisation,
]  # fmt: skip


@pytest.mark.parametrize("plant", PLANTS, ids=lambda plant: plant.__name__)
def test_what_is_broken_gives_its_line(plant, answered) -> None:
    if plant is row_of_another_organisation and connection.vendor == "postgresql":
        pytest.skip("the database itself refuses it: tests/test_isolation_policies.py")
    assert lines() == []

    with TESTS:
        expected = plant(answered)

    assert lines() == [expected]
