"""Every write of executions: claimed once, fenced always, moved only along the table."""

from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import pytest
from django.db import IntegrityError, connection
from django.utils import timezone

from apps.core.database import retrying, write_now
from apps.executions import actions, moves, queries
from apps.executions.errors import (
    IllegalTransitionError,
)
from apps.executions.models import Execution, Transition
from apps.executions.standing import STANDING_COLUMNS
from apps.executions.states import (
    CLAIMED,
    TERMINAL,
    TRANSITIONS,
    EventType,
    ExecutionState,
    allows,
)
from tests import factories
from tests.factories import TESTER, TESTS
from tests.invariants import violations

pytestmark = [pytest.mark.django_db, pytest.mark.mission_critical]
S = ExecutionState
OTHER = uuid.UUID("00000000-0000-4000-8000-00000000beef")  # another runner process


# -- queue -----------------------------------------------------------------------------


def test_a_queued_execution_waits_with_its_content_and_first_transition(
    alice_principal,
) -> None:
    standing = factories.execution(
        alice_principal, input={"text": "hello", "n": [1, None]}
    )

    row = factories.row(standing)
    assert (row.state, row.version, row.fence, row.attempt) == ("pending", 1, 0, 1)
    assert (row.lease_token, row.deadline_at, row.started_at) == (None, None, None)
    with alice_principal.scope:
        assert queries.input_of(standing.id) == {"text": "hello", "n": [1, None]}
        (first,) = Transition.objects.filter(execution_id=standing.id)
    assert (first.from_state, first.to_state, first.actor_label) == (
        "",
        "pending",
        "alice@acme.example",
    )
    assert violations() == []


def test_what_queue_returns_is_what_the_database_holds(alice_principal) -> None:
    standing = factories.execution(alice_principal)

    assert factories.present(standing) == standing


def test_the_same_order_is_queued_once(alice_principal) -> None:
    order = factories.order(alice_principal, factories.stream(alice_principal))
    write_now(alice_principal.scope, lambda: actions.queue(actor=TESTER, order=order))

    with pytest.raises(IntegrityError):
        write_now(
            alice_principal.scope, lambda: actions.queue(actor=TESTER, order=order)
        )


# -- claim -----------------------------------------------------------------------------


def test_a_claim_raises_the_fence_and_starts_the_clock(alice_principal) -> None:
    now = timezone.now()

    claimed = factories.claimed(alice_principal, now=now, timeout_seconds=60)

    assert (claimed.state, claimed.fence, claimed.started_at) == (S.STARTING, 1, now)
    assert claimed.deadline_at == now + timedelta(seconds=60)
    row = factories.row(claimed)
    assert (row.lease_expires_at, row.owner) == (now + actions.LEASE, factories.OWNER)
    assert violations() == []


def test_what_claim_and_move_return_is_what_the_database_holds(alice_principal) -> None:
    claimed = factories.claimed(alice_principal)
    assert factories.present(claimed) == claimed

    moved = factories.move(claimed, S.RUNNING)
    assert replace(factories.present(moved), phase=moved.phase) == moved


def test_of_two_claimers_one_wins(alice_principal) -> None:
    standing = factories.execution(alice_principal)

    first = factories.unit(
        standing, lambda: actions.claim(standing, owner=factories.OWNER)
    )
    second = factories.unit(standing, lambda: actions.claim(standing, owner=OTHER))

    assert first is not None
    assert second is None
    assert factories.row(standing).owner == factories.OWNER
    assert violations() == []


@pytest.mark.live
def test_of_many_claimers_at_once_exactly_one_wins(committed, alice_principal) -> None:
    waiting = [factories.execution(alice_principal) for _ in range(6)]

    def claims(owner: uuid.UUID) -> list[uuid.UUID]:
        try:
            won = [
                retrying(
                    lambda s=s: factories.unit(s, lambda: actions.claim(s, owner=owner))
                )
                for s in waiting
            ]
            return [claimed.id for claimed in won if claimed is not None]
        finally:
            connection.close()

    with ThreadPoolExecutor(5) as pool:
        results = [pool.submit(claims, uuid.uuid4()) for _ in range(5)]
        won = [each for result in results for each in result.result(60)]

    assert sorted(won) == sorted(standing.id for standing in waiting)
    assert violations() == []


def test_one_stream_has_one_claimed_execution(alice_principal) -> None:
    first = factories.claimed(alice_principal)
    second = factories.execution(alice_principal, stream_id=first.stream_id)

    assert factories.unit(second, lambda: actions.claim(second, owner=OTHER)) is None
    assert factories.row(second).state == "pending"
    assert violations() == []


@pytest.mark.parametrize("waiting_for", ["predecessor", "approval"])
def test_what_waits_for_something_else_is_claimed_by_nobody(
    waiting_for, alice_principal
) -> None:
    standing = factories.execution(alice_principal, waiting_for=waiting_for)

    with TESTS:
        assert queries.claimable(timezone.now(), 10) == []
    assert (
        factories.unit(standing, lambda: actions.claim(standing, owner=OTHER)) is None
    )
    assert factories.row(standing).waiting_for == waiting_for


def test_a_second_claim_keeps_the_first_deadline(alice_principal) -> None:
    now = timezone.now()
    claimed = factories.claimed(alice_principal, now=now)
    back = factories.unit(
        claimed, lambda: actions.lose_lease(claimed, now=now, reason="test")
    )

    again = factories.claim(
        factories.present(back), owner=OTHER, now=now + timedelta(seconds=9)
    )

    assert (again.fence, again.attempt) == (2, 2)
    assert again.deadline_at == claimed.deadline_at
    assert again.started_at == claimed.started_at
    assert violations() == []


def test_the_first_claim_announces_a_start_a_lost_one_an_attempt(
    alice_principal,
) -> None:
    claimed = factories.claimed(alice_principal)
    lost = factories.unit(
        claimed, lambda: actions.lose_lease(claimed, now=timezone.now(), reason="test")
    )
    factories.claim(factories.present(lost))

    with alice_principal.scope:
        events = queries.events_after(claimed.stream_id, 0)
    assert [(e.type, e.attempt) for e in events] == [
        (EventType.AGENT_STARTED, 1),
        (EventType.ATTEMPT_STARTED, 2),
    ]


def test_a_handed_back_execution_goes_on_in_a_new_attempt_that_costs_nothing(
    alice_principal,
) -> None:
    claimed = factories.claimed(alice_principal)
    factories.unit(claimed, lambda: actions.hand_back(claimed, now=timezone.now()))

    again = factories.claim(factories.present(claimed))

    assert (again.fence, again.attempt) == (2, 2)
    assert again.max_attempts == claimed.max_attempts + 1
    with alice_principal.scope:
        events = queries.events_after(claimed.stream_id, 0)
    assert [event.type for event in events] == [
        EventType.AGENT_STARTED,
        EventType.ATTEMPT_STARTED,
    ]
    assert violations() == []


# -- move ------------------------------------------------------------------------------


def brought_to(who, state: ExecutionState):
    if state is S.PENDING:
        return factories.execution(who)
    claimed = factories.claimed(who)
    steps = {
        S.STARTING: [],
        S.RUNNING: [S.RUNNING],
        S.COMPLETING: [S.RUNNING, S.COMPLETING],
    }
    if state in steps:
        return factories.move(claimed, *steps[state]) if steps[state] else claimed
    return factories.finish(factories.move(claimed, S.RUNNING), state)


PAIRS = [(source, target) for source in S for target in S]


@pytest.mark.parametrize(("source", "target"), [p for p in PAIRS if not allows(*p)])
def test_a_step_that_the_table_refuses_writes_nothing(
    source, target, alice_principal
) -> None:
    standing = brought_to(alice_principal, source)
    before = factories.rows(standing)
    counted = moves.refused_moves[source.value, target.value]

    with pytest.raises(IllegalTransitionError, match=target.value):
        factories.move(standing, target)

    assert factories.rows(standing) == before
    assert moves.refused_moves[source.value, target.value] == counted + 1
    assert violations() == []


@pytest.mark.parametrize(
    ("source", "target"),
    [
        p
        for p in PAIRS
        if allows(*p) and p[1] not in TERMINAL and p[1] is not S.STARTING
    ],
)
def test_an_allowed_step_writes_state_and_history(
    source, target, alice_principal
) -> None:
    standing = brought_to(alice_principal, source)

    moved = factories.move(standing, target)

    row = factories.row(standing)
    assert (row.state, row.version) == (target, standing.version + 1)
    assert (moved.state, moved.version) == (target, standing.version + 1)
    assert (row.lease_token is None) == (target not in CLAIMED)
    with TESTS:
        last = Transition.objects.filter(execution_id=standing.id).last()
    assert (last.from_state, last.to_state, last.n) == (source, target, row.version)


def test_several_steps_at_once_leave_one_row_each(alice_principal) -> None:
    standing = factories.claimed(alice_principal)

    factories.move(standing, S.RUNNING, S.COMPLETING)

    with TESTS:
        walk = list(
            Transition.objects.filter(execution_id=standing.id).values_list(
                "from_state", "to_state"
            )
        )
    assert walk[-2:] == [("starting", "running"), ("running", "completing")]
    assert violations() == []


def test_a_path_with_one_bad_step_is_refused_whole(alice_principal) -> None:
    standing = factories.claimed(alice_principal)
    before = factories.rows(standing)

    with pytest.raises(IllegalTransitionError):
        factories.move(standing, S.RUNNING, S.COMPLETED)

    assert factories.rows(standing) == before


@pytest.mark.parametrize("bad", ["running", None, {"state": "running"}])
def test_only_states_move_an_execution(bad, alice_principal) -> None:
    standing = factories.claimed(alice_principal)

    with pytest.raises((TypeError, ValueError)):
        factories.move(standing, bad)
    assert factories.row(standing).state == "starting"


def test_long_reasons_are_cut_and_not_refused(alice_principal) -> None:
    standing = factories.claimed(alice_principal)

    factories.unit(standing, lambda: moves.move(
        standing, S.RUNNING, actor=TESTER, now=timezone.now(), reason="x" * 1000,
    ))  # fmt: skip

    with TESTS:
        assert (
            len(Transition.objects.filter(execution_id=standing.id).last().reason)
            == 300
        )


def test_every_column_of_a_standing_is_read_from_the_row() -> None:
    columns = {field.attname for field in Execution._meta.concrete_fields}

    assert set(STANDING_COLUMNS) <= columns


def test_the_table_of_moves_was_walked_whole() -> None:
    assert len(PAIRS) == 81
    assert sum(allows(*pair) for pair in PAIRS) == sum(
        len(t) for t in TRANSITIONS.values()
    )
