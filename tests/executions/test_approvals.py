"""Asking a person: the pause, the one answer, its absence, and a stop meanwhile."""

from __future__ import annotations

import uuid
from datetime import timedelta

import pytest
from django.db import transaction
from django.utils import timezone

from apps.core.actors import Actor
from apps.core.errors import NotFoundError
from apps.executions import actions, approvals, endings, queries, recovery
from apps.executions.approvals import WAIT, Answer
from apps.executions.errors import (
    AlreadyDecidedError,
    ApprovalRequest,
    LeaseLostError,
)
from apps.executions.models import Approval, Attempt, Execution
from apps.executions.standing import Standing
from apps.executions.states import ExecutionState
from tests import factories
from tests.factories import TESTS
from tests.invariants import violations

pytestmark = [pytest.mark.django_db, pytest.mark.mission_critical]
S = ExecutionState
OTHER = uuid.UUID("00000000-0000-4000-8000-00000000beef")
NOW = timezone.now()
SECOND = timedelta(seconds=1)
CALL = "send:abc:1:1"
REQUEST = ApprovalRequest(
    call_id=CALL, tool="send", arguments={"to": "bob"}, reason="Nobody knows."
)


def paused(who, **values) -> Standing:
    standing = factories.running(who, now=NOW, **values)
    return factories.unit(standing, lambda: approvals.ask(standing, REQUEST, now=NOW))


def decide(standing, who, *, approve=True, now=NOW + SECOND, call_id=CALL, why=""):
    answer = Answer(call_id=call_id, approve=approve, comment=why)
    return factories.unit(
        standing,
        lambda: approvals.decide(
            factories.present(standing), answer, actor=who.actor, now=now
        ),
    )


def approval(standing: Standing) -> Approval:
    with TESTS:
        return Approval.objects.get(execution_id=standing.id)


def events(standing: Standing) -> list[tuple[str, int, dict]]:
    with TESTS:
        log = queries.events_after(standing.stream_id, 0)
    return [(one.type.value, one.attempt, one.payload) for one in log]


def claimable() -> list[uuid.UUID]:
    with TESTS:
        return [s.id for s in queries.claimable(NOW + timedelta(days=1), 10)]


# -- ask -------------------------------------------------------------------------------


def test_an_execution_that_asks_waits_without_lease_and_costs_no_attempt(
    alice_principal,
) -> None:
    standing = paused(alice_principal)

    row = factories.row(standing)
    with TESTS:
        attempt = Attempt.objects.get(execution_id=row.pk)
    assert (row.state, row.waiting_for, row.available_at) == (
        "pending",
        "approval",
        None,
    )
    assert (row.lease_token, row.attempt, row.max_attempts) == (None, 2, 4)
    assert (attempt.outcome, attempt.ended_at) == ("paused", NOW)
    assert factories.present(standing) == standing
    assert claimable() == []
    assert violations() == []


def test_who_watches_is_asked_with_arguments_and_expiry(alice_principal) -> None:
    kind, attempt, payload = events(paused(alice_principal))[-1]

    assert (kind, attempt) == ("approval_requested", 1)
    assert payload == {
        "call_id": CALL,
        "tool": "send",
        "arguments": {"to": "bob"},
        "reason": "Nobody knows.",
        "expires_at": (NOW + WAIT).isoformat(),
    }


def test_a_zombie_asks_nothing(alice_principal) -> None:
    zombie = factories.running(alice_principal, now=NOW)
    factories.unit(zombie, lambda: actions.lose_lease(zombie, now=NOW, reason="lost"))

    with pytest.raises(LeaseLostError), transaction.atomic():
        factories.unit(zombie, lambda: approvals.ask(zombie, REQUEST, now=NOW))

    with TESTS:
        assert not Approval.objects.exists()


# -- decide ----------------------------------------------------------------------------


@pytest.mark.parametrize("approve", [True, False])
def test_an_answer_is_kept_told_and_lets_it_go_on(
    approve: bool, alice_principal
) -> None:
    standing = paused(alice_principal)

    after = decide(standing, alice_principal, approve=approve, why="I looked.")

    row = approval(standing)
    assert (row.approved, row.decided_by) == (approve, alice_principal.user_id)
    assert (row.decided_at, row.comment) == (NOW + SECOND, "I looked.")
    assert row.decided_label == alice_principal.actor.label
    assert events(standing)[-1] == (
        "approval_decided",
        1,
        {"call_id": CALL, "approved": approve, "by": "user", "reason": "I looked."},
    )
    assert factories.present(standing) == after
    assert claimable() == [standing.id]
    assert violations() == []


def test_after_the_answer_the_next_attempt_begins_and_says_so(alice_principal) -> None:
    standing = paused(alice_principal)
    decide(standing, alice_principal)

    second = factories.claim(factories.present(standing), owner=OTHER)

    assert (second.attempt, second.fence) == (2, 2)
    assert [kind for kind, _, _ in events(standing)] == [
        "agent_started",
        "approval_requested",
        "approval_decided",
        "attempt_started",
    ]
    assert violations() == []


def test_the_time_that_was_waited_is_added_to_the_deadline(alice_principal) -> None:
    standing = paused(alice_principal, timeout_seconds=60)
    waited = timedelta(minutes=50)

    decide(standing, alice_principal, now=NOW + waited)

    assert factories.row(standing).deadline_at == standing.deadline_at + waited


def test_a_clock_behind_the_askers_takes_no_time_away(alice_principal) -> None:
    standing = paused(alice_principal)

    decide(standing, alice_principal, now=NOW - timedelta(minutes=5))

    assert factories.row(standing).deadline_at == standing.deadline_at


@pytest.mark.parametrize("second", [True, False])
def test_the_first_answer_counts(second: bool, alice_principal) -> None:
    standing = paused(alice_principal)
    decide(standing, alice_principal, approve=True)
    before = factories.rows(standing)

    with pytest.raises(AlreadyDecidedError) as refusal, transaction.atomic():
        decide(standing, alice_principal, approve=second)

    assert (refusal.value.code, refusal.value.status) == ("already_decided", 409)
    assert approval(standing).approved is True
    assert factories.rows(standing) == before


def test_of_two_answers_that_read_the_same_open_question_one_counts(
    alice_principal,
) -> None:
    standing = paused(alice_principal)
    stale = approval(standing)
    decide(standing, alice_principal, approve=True)

    with pytest.raises(AlreadyDecidedError), transaction.atomic():
        factories.unit(
            standing,
            lambda: approvals._release(
                factories.present(standing),
                stale,
                Answer(call_id=CALL, approve=False),
                actor=alice_principal.actor,
                now=NOW,
            ),
        )

    assert approval(standing).approved is True


def test_an_answer_about_another_call_finds_nothing(alice_principal) -> None:
    standing = paused(alice_principal)

    with pytest.raises(NotFoundError) as refusal:
        decide(standing, alice_principal, call_id="send:abc:2:1")

    assert refusal.value.field == "call_id"
    assert approval(standing).approved is None


@pytest.mark.security
def test_a_stranger_finds_no_question(alice_principal, mallory_principal) -> None:
    standing = paused(alice_principal)

    with mallory_principal.scope, pytest.raises(NotFoundError):
        approvals.decide(
            standing,
            Answer(call_id=CALL, approve=True),
            actor=mallory_principal.actor,
            now=NOW,
        )

    assert approval(standing).approved is None


# -- nobody answers --------------------------------------------------------------------


def test_a_question_that_nobody_answers_is_a_refusal_by_nobody(alice_principal) -> None:
    standing = paused(alice_principal)
    late = NOW + WAIT

    assert recovery.sweep(late - SECOND) == 0
    assert recovery.sweep(late) == 1

    row = approval(standing)
    assert (row.approved, row.decided_by, row.decided_label) == (False, None, "")
    kind, _, payload = events(standing)[-1]
    assert (kind, payload["approved"], payload["by"]) == (
        "approval_decided",
        False,
        "system",
    )
    assert claimable() == [standing.id]
    assert recovery.sweep(late) == 0
    assert violations() == []


def test_an_answer_in_the_last_moment_is_not_overruled_by_the_sweep(
    alice_principal,
) -> None:
    standing = paused(alice_principal)
    decide(standing, alice_principal, now=NOW + WAIT)

    with pytest.raises(AlreadyDecidedError), transaction.atomic():
        factories.unit(
            standing,
            lambda: approvals.expire(factories.present(standing), now=NOW + WAIT),
        )

    assert approval(standing).approved is True


def test_its_deadline_does_not_pass_while_a_person_is_asked(alice_principal) -> None:
    standing = paused(alice_principal, timeout_seconds=1)
    later = NOW + timedelta(minutes=30)

    assert recovery.sweep(later) == 0

    with TESTS:
        assert not Execution.objects.filter(queries.stuck(later)).exists()
    decide(standing, alice_principal, now=later)
    assert recovery.sweep(later) == 0
    assert factories.row(standing).state == "pending"


# -- a stop meanwhile ------------------------------------------------------------------


def test_a_stop_ends_it_at_once_and_takes_the_question_back(alice_principal) -> None:
    standing = paused(alice_principal)

    state = factories.unit(
        standing,
        lambda: endings.cancel(
            actor=alice_principal.actor, standing=standing, reason="never mind", now=NOW
        ),
    )

    row = approval(standing)
    assert state is S.CANCELLED
    assert (row.approved, row.decided_by, row.decided_at) == (False, None, NOW)
    assert [kind for kind, _, _ in events(standing)][-1] == "agent_cancelled"
    with pytest.raises(AlreadyDecidedError), transaction.atomic():
        decide(standing, alice_principal)
    assert violations() == []


def test_a_stop_that_met_the_pause_is_obeyed_by_the_sweep(alice_principal) -> None:
    """Asked while it ran, written when it had already paused: nobody's runner reads it."""
    before = factories.running(alice_principal, now=NOW)
    standing = factories.unit(before, lambda: approvals.ask(before, REQUEST, now=NOW))
    factories.unit(
        standing,
        lambda: actions.request_cancel(
            actor=alice_principal.actor, standing=before, reason="enough", now=NOW
        ),
    )

    assert recovery.sweep(NOW + SECOND) == 1

    row = factories.row(standing)
    assert (row.state, row.cancel_reason) == ("cancelled", "enough")
    assert approval(standing).decided_by is None
    assert violations() == []


def test_it_may_ask_again_about_another_start(alice_principal) -> None:
    standing = paused(alice_principal)
    decide(standing, alice_principal)
    second = factories.move(
        factories.claim(factories.present(standing), owner=OTHER), S.RUNNING
    )
    again = ApprovalRequest(
        call_id="send:abc:1:2", tool="send", arguments={}, reason=""
    )

    third = factories.unit(second, lambda: approvals.ask(second, again, now=NOW))

    assert (third.attempt, third.max_attempts) == (3, 5)
    expected = Actor.user(alice_principal.user_id, "").kind.value
    decide(third, alice_principal, call_id="send:abc:1:2")
    assert events(third)[-1][2]["by"] == expected
    assert violations() == []
