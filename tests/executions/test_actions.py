"""Every write of executions: claimed once, fenced always, moved only along the table."""

from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import pytest
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from apps.core.database import retrying, write_now
from apps.executions import actions, endings, queries
from apps.executions.errors import (
    IllegalPhaseError,
    IllegalTransitionError,
    LeaseLostError,
)
from apps.executions.models import Attempt, Content, Execution, PhaseEntry, Transition
from apps.executions.standing import STANDING_COLUMNS
from apps.executions.states import (
    CLAIMED,
    TERMINAL,
    TRANSITIONS,
    EventType,
    ExecutionState,
    Phase,
    allows,
)
from tests import factories
from tests.factories import TESTER, TESTS
from tests.invariants import violations

pytestmark = [pytest.mark.django_db, pytest.mark.mission_critical]
S = ExecutionState
OTHER = uuid.UUID("00000000-0000-4000-8000-00000000beef")  # another runner process


def do(standing, work):
    """`work` as one unit in the execution's own scope."""
    from apps.core.tenancy import tenant

    return write_now(tenant(standing.organisation_id, standing.user_id), work)


def everything(standing) -> tuple:
    """All rows of an execution, to see that nothing was written."""
    with TESTS:
        return (
            Execution.objects.filter(id=standing.id).values().get(),
            list(Transition.objects.filter(execution_id=standing.id).values()),
            list(Attempt.objects.filter(execution_id=standing.id).values()),
            list(PhaseEntry.objects.filter(execution_id=standing.id).values()),
            Content.objects.filter(execution_id=standing.id).values().get(),
            [(e.seq, e.type) for e in queries.events_after(standing.stream_id, 0)],
        )


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

    first = do(standing, lambda: actions.claim(standing, owner=factories.OWNER))
    second = do(standing, lambda: actions.claim(standing, owner=OTHER))

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
                retrying(lambda s=s: do(s, lambda: actions.claim(s, owner=owner)))
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

    assert do(second, lambda: actions.claim(second, owner=OTHER)) is None
    assert factories.row(second).state == "pending"
    assert violations() == []


@pytest.mark.parametrize("waiting_for", ["predecessor", "approval"])
def test_what_waits_for_something_else_is_claimed_by_nobody(
    waiting_for, alice_principal
) -> None:
    standing = factories.execution(alice_principal, waiting_for=waiting_for)

    with TESTS:
        assert queries.claimable(timezone.now(), 10) == []
    assert do(standing, lambda: actions.claim(standing, owner=OTHER)) is None
    assert factories.row(standing).waiting_for == waiting_for


def test_a_second_claim_keeps_the_first_deadline(alice_principal) -> None:
    now = timezone.now()
    claimed = factories.claimed(alice_principal, now=now)
    back = do(claimed, lambda: actions.lose_lease(claimed, now=now, reason="test"))

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
    lost = do(
        claimed, lambda: actions.lose_lease(claimed, now=timezone.now(), reason="test")
    )
    factories.claim(factories.present(lost))

    with alice_principal.scope:
        events = queries.events_after(claimed.stream_id, 0)
    assert [(e.type, e.attempt) for e in events] == [
        (EventType.AGENT_STARTED, 1),
        (EventType.ATTEMPT_STARTED, 2),
    ]


def test_a_handed_back_execution_goes_on_in_the_same_attempt_unannounced(
    alice_principal,
) -> None:
    claimed = factories.claimed(alice_principal)
    do(claimed, lambda: actions.hand_back(claimed, now=timezone.now()))

    again = factories.claim(factories.present(claimed))

    assert (again.fence, again.attempt) == (2, 1)
    with alice_principal.scope:
        assert len(queries.events_after(claimed.stream_id, 0)) == 1
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
    before = everything(standing)
    counted = actions.refused_moves[source.value, target.value]

    with pytest.raises(IllegalTransitionError, match=target.value):
        factories.move(standing, target)

    assert everything(standing) == before
    assert actions.refused_moves[source.value, target.value] == counted + 1
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
    before = everything(standing)

    with pytest.raises(IllegalTransitionError):
        factories.move(standing, S.RUNNING, S.COMPLETED)

    assert everything(standing) == before


@pytest.mark.parametrize("bad", ["running", None, {"state": "running"}])
def test_only_states_move_an_execution(bad, alice_principal) -> None:
    standing = factories.claimed(alice_principal)

    with pytest.raises((TypeError, ValueError)):
        factories.move(standing, bad)
    assert factories.row(standing).state == "starting"


def test_long_reasons_are_cut_and_not_refused(alice_principal) -> None:
    standing = factories.claimed(alice_principal)

    do(standing, lambda: actions.move(
        standing, S.RUNNING, actor=TESTER, now=timezone.now(), reason="x" * 1000,
    ))  # fmt: skip

    with TESTS:
        assert (
            len(Transition.objects.filter(execution_id=standing.id).last().reason)
            == 300
        )


# -- the fence -------------------------------------------------------------------------

FENCED = {
    "move": lambda s, now: actions.move(s, S.RUNNING, actor=TESTER, now=now),
    "touch": lambda s, now: actions.touch(s, now=now),
    "checkpoint": lambda s, now: actions.checkpoint(
        s, text="x", first_token_at=now, now=now
    ),
    "complete_input": lambda s, now: actions.complete_input(
        standing=s, values={}, now=now
    ),
    "lose_lease": lambda s, now: actions.lose_lease(s, now=now, reason="test"),
    "hand_back": lambda s, now: actions.hand_back(s, now=now),
    "finish": lambda s, now: endings.finish(
        s, factories.ending(S.COMPLETED, text="zombie"), actor=TESTER, now=now
    ),
    "fail": lambda s, now: endings.finish(
        s, factories.ending(S.FAILED), actor=TESTER, now=now
    ),
}
# What the rows of a second owner differ in, one at a time.
FORGERIES = {
    "token": lambda s: replace(s, lease_token=uuid.uuid4()),
    "no token": lambda s: replace(s, lease_token=None),
    "older fence": lambda s: replace(s, fence=s.fence - 1),
    "newer fence": lambda s: replace(s, fence=s.fence + 1),
    "older version": lambda s: replace(s, version=s.version - 1),
}


@pytest.mark.parametrize("forge", FORGERIES.values(), ids=FORGERIES)
@pytest.mark.parametrize("write", FENCED.values(), ids=FENCED)
def test_no_write_passes_with_another_lease(write, forge, alice_principal) -> None:
    standing = factories.claimed(alice_principal)
    before = everything(standing)

    with pytest.raises(LeaseLostError), transaction.atomic():
        do(standing, lambda: write(forge(standing), timezone.now()))

    assert everything(standing) == before
    assert violations() == []


@pytest.mark.parametrize("write", FENCED.values(), ids=FENCED)
def test_a_zombies_late_write_changes_nothing(write, alice_principal) -> None:
    zombie = factories.claimed(alice_principal)
    do(zombie, lambda: actions.lose_lease(zombie, now=timezone.now(), reason="stalled"))
    second = factories.claim(factories.present(zombie), owner=OTHER)
    before = everything(second)

    with pytest.raises(LeaseLostError), transaction.atomic():
        do(zombie, lambda: write(zombie, timezone.now()))

    assert everything(second) == before
    done = factories.finish(
        factories.move(second, S.RUNNING), text="the second's answer"
    )
    assert factories.row(done).state == "completed"
    with TESTS:
        assert Content.objects.get(execution_id=done.id).output == "the second's answer"
    assert violations() == []


@pytest.mark.security
def test_a_foreign_organisations_standing_writes_nothing(
    alice_principal, mallory_principal
) -> None:
    from apps.core.sql import ForeignRowError

    standing = factories.claimed(alice_principal)
    before = everything(standing)
    disguised = replace(standing, organisation_id=mallory_principal.organisation_id)

    with pytest.raises(ForeignRowError):
        write_now(
            mallory_principal.scope, lambda: actions.touch(standing, now=timezone.now())
        )
    with pytest.raises(LeaseLostError):
        write_now(
            mallory_principal.scope,
            lambda: actions.touch(disguised, now=timezone.now()),
        )

    assert everything(standing) == before


# -- phases, heartbeats, checkpoints, stops ----------------------------------------------


def test_phases_are_numbered_per_claim(alice_principal) -> None:
    standing, now = factories.claimed(alice_principal), timezone.now()

    entered = do(standing, lambda: actions.enter_phase(
        standing, (Phase.CREATED, now), (Phase.WEBSOCKET_SETUP, now),
    ))  # fmt: skip
    do(standing, lambda: actions.enter_phase(entered, (Phase.CONTEXT_VALIDATION, now)))

    with TESTS:
        rows = PhaseEntry.objects.filter(execution_id=standing.id).values_list(
            "n", "phase"
        )
        assert list(rows) == [
            (1, "created"),
            (2, "websocket_setup"),
            (3, "context_validation"),
        ]
    assert violations() == []


def test_a_phase_that_may_not_follow_is_refused_and_nothing_is_written(
    alice_principal,
) -> None:
    standing, now = factories.claimed(alice_principal), timezone.now()
    before = everything(standing)

    with pytest.raises(IllegalPhaseError, match="thinking"):
        do(standing, lambda: actions.enter_phase(
            standing, (Phase.CREATED, now), (Phase.THINKING, now),
        ))  # fmt: skip

    assert everything(standing) == before


def test_a_heartbeat_renews_what_is_held_and_reports_what_is_not(
    alice_principal,
) -> None:
    now = timezone.now()
    held, lost = (
        factories.claimed(alice_principal, now=now),
        factories.claimed(alice_principal, now=now),
    )
    ended = factories.finish(factories.running(alice_principal, now=now))
    do(lost, lambda: actions.lose_lease(lost, now=now, reason="test"))
    later = now + timedelta(seconds=10)
    holds = {
        held.id: held.lease_token,
        lost.id: lost.lease_token,
        ended.id: uuid.uuid4(),
    }

    with TESTS:
        assert actions.beat(owner=factories.OWNER, holds=holds, now=later) == {held.id}
        assert actions.beat(owner=OTHER, holds=holds, now=later) == set()
        assert actions.beat(owner=factories.OWNER, holds={}, now=later) == set()

    assert factories.row(held).lease_expires_at == later + actions.LEASE
    assert factories.row(lost).lease_expires_at is None


def test_a_heartbeat_with_an_old_token_renews_nothing(alice_principal) -> None:
    now = timezone.now()
    old = factories.claimed(alice_principal, now=now)
    do(old, lambda: actions.lose_lease(old, now=now, reason="test"))
    new = factories.claim(factories.present(old), now=now)  # the same process again

    with TESTS:
        held = actions.beat(
            owner=factories.OWNER,
            holds={old.id: old.lease_token},
            now=now + timedelta(seconds=5),
        )

    assert held == set()
    assert factories.row(new).lease_expires_at == now + actions.LEASE


def test_the_text_so_far_is_kept_and_replaced_by_the_answer(alice_principal) -> None:
    standing, now = factories.running(alice_principal), timezone.now()
    do(
        standing,
        lambda: actions.checkpoint(standing, text="half", first_token_at=now, now=now),
    )
    with alice_principal.scope:
        assert queries.partial_of(standing.id) == "half"

    factories.finish(standing, text="whole")

    with alice_principal.scope:
        assert queries.partial_of(standing.id) == ""
        assert Content.objects.get(execution_id=standing.id).output == "whole"
    assert factories.row(standing).first_token_at == now


def test_a_waiting_execution_is_released_with_its_input(alice_principal) -> None:
    standing = factories.execution(alice_principal, waiting_for="predecessor")

    do(standing, lambda: actions.complete_input(
        standing=standing, values={"history": ["a"]}, now=timezone.now(),
    ))  # fmt: skip

    with TESTS:
        assert [s.id for s in queries.claimable(timezone.now(), 10)] == [standing.id]
        assert queries.input_of(standing.id) == {"history": ["a"]}


def test_a_stop_is_asked_for_once_and_keeps_its_first_reason(alice_principal) -> None:
    standing, now = factories.running(alice_principal), timezone.now()

    for reason in ("first", "second"):
        do(standing, lambda r=reason: actions.request_cancel(
            actor=alice_principal.actor, standing=standing, reason=r, now=now,
        ))  # fmt: skip

    with alice_principal.scope:
        assert queries.stop_requests([standing.id]) == {standing.id: ("user", "first")}


def test_every_column_of_a_standing_is_read_from_the_row() -> None:
    columns = {field.attname for field in Execution._meta.concrete_fields}

    assert set(STANDING_COLUMNS) <= columns


def test_the_table_of_moves_was_walked_whole() -> None:
    assert len(PAIRS) == 81
    assert sum(allows(*pair) for pair in PAIRS) == sum(
        len(t) for t in TRANSITIONS.values()
    )
