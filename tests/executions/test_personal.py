"""A caller works on an execution of its own through the person's tracker: every move by the table."""

from __future__ import annotations

import uuid
from datetime import timedelta

import pytest

from apps.accounts.access import Principal
from apps.core.actors import Actor
from apps.core.clock import clock
from apps.core.errors import (
    ConflictError,
    InvalidInputError,
    NotAllowedError,
    NotFoundError,
)
from apps.executions import queries, recovery
from apps.executions.circuit import CircuitState
from apps.executions.errors import (
    IllegalTransitionError,
    InvalidContextError,
    LeaseLostError,
)
from apps.executions.models import Breaker, Execution, Stream
from apps.executions.personal import BY_ITS_CALLER, AgentExecutionTracker
from apps.executions.states import TERMINAL, ExecutionState
from apps.executions.tracker import drop_view, get_execution_tracker
from tests import factories
from tests.executions.test_tracker import context_of
from tests.factories import TESTS
from tests.invariants import violations

pytestmark = pytest.mark.mission_critical
S = ExecutionState


@pytest.fixture
def view(alice_principal):
    yield get_execution_tracker(context_of(alice_principal))
    drop_view(alice_principal.organisation_id, alice_principal.user_id)


@pytest.fixture(autouse=True)
def _invariants_hold(db):
    yield
    with TESTS:
        assert violations() == []


def created(view: AgentExecutionTracker, **values: object) -> uuid.UUID:
    return view.create_execution(**({"agent_name": "helper"} | values))


def states(view: AgentExecutionTracker, execution_id: uuid.UUID) -> list[str]:
    return [move.target.value for move in view.get_state_history(execution_id)]


# -- create --------------------------------------------------------------------------


def test_it_waits_for_its_caller_and_no_runner_takes_it(view, alice_principal) -> None:
    mine = created(view, thread_id=str(uuid.uuid4()), user_id=alice_principal.user_id)

    row = view.get_execution(mine)
    assert (row.agent, row.state, row.runner) == ("helper", "pending", "caller")
    later = clock.now() + timedelta(days=1)
    with TESTS:
        assert queries.claimable(later, 10) == []


def test_nobody_waits_for_ever_for_a_caller(view) -> None:
    mine = created(view)

    recovery.sweep(clock.now() + recovery.QUEUE_LIMIT + timedelta(seconds=1))

    assert view.get_state(mine) is S.TIMEOUT


def test_an_execution_for_somebody_else_is_refused(view, mallory_principal) -> None:
    with pytest.raises(NotFoundError):
        created(view, user_id=mallory_principal.user_id)


@pytest.mark.security
@pytest.mark.parametrize("whose", ["mallory_principal", "bob_principal"])
def test_somebody_elses_thread_is_refused_and_nothing_written(
    request, view, whose: str
) -> None:
    who: Principal = request.getfixturevalue(whose)
    thread = factories.stream(who)

    with pytest.raises(NotFoundError):
        created(view, thread_id=thread)

    with TESTS:
        assert not Execution.objects.exists()
        assert Stream.objects.count() == 1


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"agent_name": ""}, "agent_name"),
        ({"agent_name": "x" * 65}, "agent_name"),
        ({"timeout_seconds": 0}, "timeout_seconds"),
        ({"timeout_seconds": 301}, "timeout_seconds"),
        ({"timeout_seconds": True}, "timeout_seconds"),
        ({"timeout_seconds": "30"}, "timeout_seconds"),
    ],
    ids=str,
)
def test_what_breaks_a_rule_is_refused_by_its_field(view, wrong, field: str) -> None:
    with pytest.raises(InvalidInputError) as refused:
        created(view, **wrong)

    assert refused.value.field == field


@pytest.mark.parametrize("thread", ["thread1", "test", "", uuid.UUID(int=0)], ids=repr)
def test_a_thread_is_named_by_a_real_id(view, thread: object) -> None:
    with pytest.raises(InvalidContextError, match="thread_id"):
        created(view, thread_id=thread)


# -- move ----------------------------------------------------------------------------


def test_it_goes_from_waiting_to_its_end_and_every_move_is_kept(view) -> None:
    mine = created(view)

    assert view.start_execution(mine)
    assert view.heartbeat(mine)
    for state in (S.COMPLETING, S.COMPLETED):
        assert view.transition_state(mine, state) is state

    assert states(view, mine) == [
        "pending", "starting", "running", "completing", "completed",
    ]  # fmt: skip
    history = view.get_state_history(mine)
    assert [move.n for move in history] == [1, 2, 3, 4, 5]
    assert history[0].source is None
    assert history[-1].source is S.COMPLETING


def test_it_starts_once(view) -> None:
    mine = created(view)

    assert [view.start_execution(mine) for _ in range(2)] == [True, False]


def test_the_walk_of_older_callers_passes_through_what_they_leave_out(view) -> None:
    mine = created(view)

    assert view.update_execution_state(mine, S.RUNNING)
    assert view.set_agent_state(mine, S.COMPLETED)

    assert states(view, mine) == [
        "pending", "starting", "running", "completing", "completed",
    ]  # fmt: skip


def test_a_single_step_leaves_nothing_out(view) -> None:
    mine = created(view)

    with pytest.raises(IllegalTransitionError):
        view.transition_state(mine, S.RUNNING)
    view.update_execution_state(mine, S.RUNNING)
    with pytest.raises(IllegalTransitionError):
        view.transition_state(mine, S.COMPLETED)

    assert view.get_agent_state(mine) is S.RUNNING


@pytest.mark.parametrize("state", sorted(TERMINAL - {S.COMPLETED}))
@pytest.mark.parametrize("begun", [True, False], ids=["running", "waiting"])
def test_it_may_end_badly_with_a_receipt(view, state, begun: bool) -> None:
    mine = created(view)
    if begun:
        view.update_execution_state(mine, S.RUNNING)

    assert view.update_execution_state(mine, state, error="The disk was full.")

    assert view.get_state(mine) is state
    assert view.get_execution(mine).receipt_id is not None
    assert not view.heartbeat(mine)


def test_what_has_ended_never_changes(view) -> None:
    mine = created(view)
    view.update_execution_state(mine, S.COMPLETED, result="42")
    before = states(view, mine)

    for state in S:
        assert not view.update_execution_state(mine, state)
    with pytest.raises(IllegalTransitionError):
        view.transition_state(mine, S.RUNNING)

    assert states(view, mine) == before
    assert not view.start_execution(mine)
    assert not view.heartbeat(mine)


def test_a_whole_record_is_no_state(view) -> None:
    mine = created(view)

    for change in (view.update_execution_state, view.transition_state):
        with pytest.raises(ValueError, match=r"#305.*pending, starting, running"):
            change(mine, {"success": True, "completed": True})
        for other in ("running", None, 3, b"running"):
            with pytest.raises(TypeError, match="ExecutionState"):
                change(mine, other)

    assert view.get_state(mine) is S.PENDING


def test_nothing_goes_back_to_waiting_by_hand(view) -> None:
    mine = created(view)
    view.update_execution_state(mine, S.RUNNING)

    with pytest.raises(ConflictError, match="waits again only"):
        view.transition_state(mine, S.PENDING)


def test_the_table_can_be_asked(view) -> None:
    assert view.validate_state_transition(S.PENDING, S.STARTING)
    assert not view.validate_state_transition(S.RUNNING, S.COMPLETED)
    with pytest.raises(TypeError):
        view.validate_state_transition(S.PENDING, "starting")


# -- whose it is ---------------------------------------------------------------------


@pytest.mark.security
def test_a_runners_execution_is_not_moved_from_here_but_may_be_stopped(
    view, alice_principal
) -> None:
    theirs = factories.running(alice_principal).id

    for state in (S.COMPLETED, S.FAILED, S.COMPLETING):
        with pytest.raises(ConflictError, match="reports how"):
            view.update_execution_state(theirs, state)
    assert not view.heartbeat(theirs)
    assert view.update_execution_state(theirs, S.CANCELLED, error="enough")

    row = view.get_execution(theirs)
    assert (row.state, row.cancel_reason) == ("running", BY_ITS_CALLER)


@pytest.mark.security
def test_what_another_caller_holds_is_not_moved(view, alice_principal) -> None:
    mine = created(view)
    view.update_execution_state(mine, S.RUNNING)
    drop_view(alice_principal.organisation_id, alice_principal.user_id)
    other = get_execution_tracker(context_of(alice_principal))

    with pytest.raises(LeaseLostError):
        other.update_execution_state(mine, S.COMPLETED)

    assert not other.heartbeat(mine)
    assert other.get_state(mine) is S.RUNNING


@pytest.mark.security
def test_nobody_else_moves_it_or_learns_of_it(view, mallory_principal) -> None:
    mine = created(view)
    foreign = get_execution_tracker(context_of(mallory_principal))

    for attempt in (
        foreign.get_state_history,
        foreign.check_timeout,
        foreign.start_execution,
        lambda i: foreign.update_execution_state(i, S.FAILED),
        lambda i: foreign.transition_state(i, S.STARTING),
        lambda i: foreign.set_timeout(i, 5),
    ):
        for execution_id in (mine, uuid.uuid4()):
            with pytest.raises(NotFoundError):
                attempt(execution_id)
    assert not foreign.heartbeat(mine)
    assert not foreign.cleanup_state(mine)

    assert states(view, mine) == ["pending"]
    drop_view(mallory_principal.organisation_id, mallory_principal.user_id)


def test_a_silent_caller_leaves_it_dead(view) -> None:
    mine = created(view)
    view.update_execution_state(mine, S.RUNNING)

    recovery.sweep(view.get_execution(mine).lease_expires_at + timedelta(seconds=1))

    assert view.get_state(mine) is S.DEAD
    assert not view.heartbeat(mine)


def test_a_thread_works_on_one_thing_at_a_time(view) -> None:
    thread = uuid.uuid4()
    first, second = (created(view, thread_id=thread) for _ in range(2))
    view.start_execution(first)

    with pytest.raises(ConflictError, match="busy"):
        view.start_execution(second)

    assert view.get_state(second) is S.PENDING


# -- time, breakers, forgetting ------------------------------------------------------


def test_its_time_is_the_tiers_unless_it_asks_for_less(view) -> None:
    assert view.check_timeout(created(view)).seconds == 300

    left = view.check_timeout(created(view, timeout_seconds=30))

    assert (left.seconds, left.seconds_left, left.expired) == (30, 30.0, False)
    assert left.deadline_at is None


def test_its_time_may_be_changed_until_it_is_claimed(view) -> None:
    mine = created(view)

    view.set_timeout(mine, 20)

    assert view.check_timeout(mine).seconds == 20
    with pytest.raises(InvalidInputError):
        view.set_timeout(mine, 301)
    view.start_execution(mine)
    assert 0 < view.check_timeout(mine).seconds_left <= 20
    with pytest.raises(ConflictError, match="first claimed"):
        view.set_timeout(mine, 10)


def test_when_its_time_is_up_the_sweeper_ends_it(view) -> None:
    mine = created(view, timeout_seconds=1)
    view.start_execution(mine)

    recovery.sweep(view.check_timeout(mine).deadline_at + timedelta(seconds=3))

    left = view.check_timeout(mine)
    assert (left.expired, left.seconds_left) == (True, 0.0)
    assert view.get_state(mine) is S.TIMEOUT


def test_a_breaker_is_seen_by_all_and_closed_by_no_single_person(view) -> None:
    assert view.register_circuit_breaker("p:m").state is CircuitState.CLOSED
    with TESTS:
        now = clock.now()
        Breaker.objects.create(
            key="p:m", state="open", opened_at=now, updated_at=now, failures=3,
            open_until=now + timedelta(seconds=30),
        )  # fmt: skip

    status = view.circuit_breaker_status("p:m")

    assert (status.state, status.failures) == (CircuitState.OPEN, 3)
    assert 0 < status.seconds_left <= 30
    with pytest.raises(NotAllowedError, match="shared"):
        view.reset_circuit_breaker("p:m")


def test_one_id_is_forgotten_and_its_row_stays(view, alice_principal) -> None:
    mine, other = created(view), created(view)

    assert [view.cleanup_state(mine) for _ in range(2)] == [True, False]

    assert view.get_user_executions(alice_principal.user_id) == [other]
    assert view.get_state(mine) is S.PENDING


def test_whoever_acted_is_named_in_the_history(view, alice_principal) -> None:
    named = created(view, actor=Actor.user(alice_principal.user_id, "alice"))
    unnamed = created(view)

    assert view.get_state_history(named)[0].actor == "alice"
    assert view.get_state_history(unnamed)[0].actor.startswith("user ")
