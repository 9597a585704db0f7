"""How executions end: once, explained, with one terminal event that is the last; cancels race."""

from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import connection, transaction
from django.utils import timezone

from apps.audits.models import Receipt
from apps.chat.models import Message
from apps.core.database import retrying
from apps.executions import actions, endings, journal, queries
from apps.executions.errors import IllegalTransitionError, LeaseLostError
from apps.executions.events import Usage
from apps.executions.journal import Draft
from apps.executions.models import Attempt, Content, Event, Execution
from apps.executions.standing import Ending
from apps.executions.states import (
    CLAIMED,
    TERMINAL,
    TERMINAL_EVENTS,
    EventType,
    ExecutionState,
)
from tests import factories
from tests.factories import TESTER, TESTS
from tests.invariants import violations

pytestmark = [pytest.mark.django_db, pytest.mark.mission_critical]
S = ExecutionState


def events(standing) -> list:
    with TESTS:
        return queries.events_after(standing.stream_id, 0)


@pytest.mark.parametrize("state", sorted(TERMINAL))
def test_every_end_is_written_whole(state: ExecutionState, alice_principal) -> None:
    standing = factories.running(alice_principal)

    factories.finish(standing, state, text="what there is")

    row = factories.row(standing)
    assert (row.state, row.lease_token) == (state, None)
    assert row.finished_at is not None
    assert events(standing)[-1].type == TERMINAL_EVENTS[state]
    with TESTS:
        assert Content.objects.get(execution_id=standing.id).output == "what there is"
        (attempt,) = Attempt.objects.filter(execution_id=standing.id)
        assert Event.objects.filter(execution_id=standing.id, final=True).count() == 1
    assert (attempt.outcome, attempt.ended_at is None) == (state, False)
    assert violations() == []


@pytest.mark.parametrize("state", sorted(TERMINAL - {S.COMPLETED}))
def test_every_bad_end_has_a_receipt_that_the_row_and_the_event_name(
    state: ExecutionState, alice_principal
) -> None:
    standing = factories.running(alice_principal)

    factories.finish(standing, state)

    row = factories.row(standing)
    with TESTS:
        receipt = Receipt.objects.get(id=row.receipt_id)
    assert (receipt.code, receipt.fix) == (state, "A remedy.")
    assert receipt.correlation_id == str(standing.id)
    assert (receipt.organisation_id, receipt.user_id) == (
        row.organisation_id,
        row.user_id,
    )
    if state is not S.CANCELLED:
        assert events(standing)[-1].payload["receipt_id"] == str(receipt.id)
        assert row.error_code == state


def test_a_good_end_has_no_receipt_and_no_error(alice_principal) -> None:
    standing = factories.ended(alice_principal)

    row = factories.row(standing)
    assert (row.receipt_id, row.error_code) == (None, "")


@pytest.mark.parametrize("source", sorted(CLAIMED))
def test_completing_is_walked_through_from_wherever_it_was(
    source, alice_principal
) -> None:
    path = {
        S.STARTING: (),
        S.RUNNING: (S.RUNNING,),
        S.COMPLETING: (S.RUNNING, S.COMPLETING),
    }
    standing = factories.claimed(alice_principal)
    if path[source]:
        standing = factories.move(standing, *path[source])

    factories.finish(standing)

    assert factories.row(standing).state == "completed"
    assert violations() == []


def test_what_was_consumed_is_kept(alice_principal) -> None:
    standing = factories.running(alice_principal)
    usage = Usage(
        model="test:model", input_tokens=7, output_tokens=3, cost_usd="0.000123"
    )
    ending = Ending(state=S.COMPLETED, text="x", usage=usage, quality=0.5)

    factories.unit(
        standing,
        lambda: endings.finish(standing, ending, actor=TESTER, now=timezone.now()),
    )

    row = factories.row(standing)
    assert (row.input_tokens, row.output_tokens, str(row.cost_usd)) == (
        7,
        3,
        "0.000123",
    )
    payload = events(standing)[-1].payload
    assert payload["usage"] == {
        "input_tokens": 7,
        "output_tokens": 3,
        "cost_usd": "0.000123",
    }
    assert (payload["quality"], payload["final"], payload["text"]) == (0.5, True, "x")


def test_buffered_events_come_before_the_terminal_one(alice_principal) -> None:
    standing = factories.running(alice_principal)
    drafts = [Draft(type=EventType.AGENT_THINKING, payload={"note": "last words"})]

    factories.unit(standing, lambda: endings.finish(
        standing, factories.ending(text="x"), actor=TESTER, now=timezone.now(), drafts=drafts,
    ))  # fmt: skip

    assert [e.type for e in events(standing)][-2:] == [
        "agent_thinking",
        "agent_completed",
    ]
    assert violations() == []


def test_the_reply_is_written_in_the_same_transaction(alice_principal) -> None:
    thread, reply = factories.thread(alice_principal), uuid.uuid4()
    standing = factories.running(alice_principal, stream_id=thread.pk, reply_id=reply)

    with transaction.atomic():
        factories.finish(standing, text="never committed")
        transaction.set_rollback(True)
    with alice_principal.scope:
        assert not Message.objects.filter(id=reply).exists()
    assert factories.row(standing).state == "running"

    factories.finish(standing, text="the answer")
    with alice_principal.scope:
        assert Message.objects.get(id=reply).text == "the answer"
    assert violations() == []


@pytest.mark.parametrize("first", sorted(TERMINAL))
@pytest.mark.parametrize("second", sorted(TERMINAL))
def test_an_end_is_final(first, second, alice_principal) -> None:
    ended = factories.ended(alice_principal, first, text="the first end")
    before = factories.rows(ended)

    with pytest.raises(IllegalTransitionError), transaction.atomic():
        factories.finish(ended, second, text="the second end")

    assert factories.rows(ended) == before
    assert violations() == []


# -- cancel ----------------------------------------------------------------------------


def cancel(who, standing, reason: str = "changed my mind") -> ExecutionState:
    return factories.unit(
        standing,
        lambda: endings.cancel(actor=who.actor, standing=standing, reason=reason),
    )


def test_what_waits_is_stopped_at_once(alice_principal) -> None:
    standing = factories.execution(alice_principal)

    assert cancel(alice_principal, standing) is S.CANCELLED

    (only,) = events(standing)
    assert only.type is EventType.AGENT_CANCELLED
    assert (only.payload["by"], only.payload["reason"]) == ("user", "changed my mind")
    assert violations() == []


@pytest.mark.parametrize("state", [S.STARTING, S.RUNNING])
def test_what_runs_is_asked_to_stop(state, alice_principal) -> None:
    standing = factories.claimed(alice_principal)
    if state is S.RUNNING:
        standing = factories.move(standing, S.RUNNING)

    assert cancel(alice_principal, standing) is state

    row = factories.row(standing)
    assert (row.state, row.cancel_by) == (state, "user")
    assert row.cancel_requested_at is not None
    assert violations() == []


def test_a_cancel_that_meets_completing_changes_nothing(alice_principal) -> None:
    standing = factories.move(
        factories.claimed(alice_principal), S.RUNNING, S.COMPLETING
    )
    before = factories.rows(standing)

    assert cancel(alice_principal, standing) is S.COMPLETING
    assert factories.rows(standing) == before


@pytest.mark.parametrize("state", sorted(TERMINAL))
def test_a_cancel_after_the_end_changes_nothing(state, alice_principal) -> None:
    ended = factories.ended(alice_principal, state)
    before = factories.rows(ended)

    assert cancel(alice_principal, ended) is state
    assert factories.rows(ended) == before


def test_a_cancel_that_lost_against_a_claim_writes_nothing(alice_principal) -> None:
    standing = factories.execution(alice_principal)
    factories.claim(standing)
    before = factories.rows(standing)

    with pytest.raises(LeaseLostError), transaction.atomic():
        cancel(alice_principal, standing)

    assert factories.rows(standing) == before
    assert violations() == []


def test_a_claim_that_lost_against_a_cancel_gets_nothing(alice_principal) -> None:
    standing = factories.execution(alice_principal)
    cancel(alice_principal, standing)

    taken = factories.unit(
        standing, lambda: actions.claim(standing, owner=factories.OWNER)
    )

    assert taken is None
    assert factories.row(standing).state == "cancelled"
    assert violations() == []


@pytest.mark.live
@pytest.mark.parametrize("round_number", range(4))
def test_ends_that_race_leave_one_end(round_number, committed, alice_principal) -> None:
    standings = [factories.running(alice_principal) for _ in range(3)]
    ends = sorted(TERMINAL)

    def ends_it(state: ExecutionState) -> list[uuid.UUID]:
        won = []
        try:
            for standing in standings:
                try:
                    retrying(lambda s=standing: factories.finish(s, state, text=state))
                except LeaseLostError:
                    continue
                won.append(standing.id)
        finally:
            connection.close()
        return won

    with ThreadPoolExecutor(len(ends)) as pool:
        results = [pool.submit(ends_it, state) for state in ends]
        won = [each for result in results for each in result.result(60)]

    assert sorted(won) == sorted(standing.id for standing in standings)
    with TESTS:
        for row in Execution.objects.all():
            assert Content.objects.get(execution=row).output == row.state
    assert violations() == []


def test_nothing_may_follow_the_terminal_event_in_its_execution(
    alice_principal,
) -> None:
    """The checker notices what the constraints cannot: an event after the last one."""
    ended = factories.ended(alice_principal)
    assert violations() == []

    factories.unit(ended, lambda: journal.append(
        organisation_id=ended.organisation_id, stream_id=ended.stream_id,
        drafts=[Draft(type=EventType.AGENT_THINKING)], now=timezone.now(),
        execution_id=ended.id, attempt=1,
    ))  # fmt: skip

    assert [line[:2] for line in violations()] == ["I5"]


def test_the_checker_notices_what_outlived_its_deadline(alice_principal) -> None:
    now = timezone.now()
    factories.running(alice_principal, now=now, timeout_seconds=60)

    assert violations(now + timedelta(seconds=60)) == []
    assert [line[:2] for line in violations(now + timedelta(seconds=120))] == ["I8"]
