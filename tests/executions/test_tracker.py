"""Trackers come from the factory only, and each sees one person in one organisation."""

from __future__ import annotations

import dataclasses
import threading
import uuid

import pytest

from apps.accounts.access import Principal
from apps.core.errors import NotFoundError
from apps.executions import personal, tracker
from apps.executions.contexts import UserExecutionContext
from apps.executions.errors import InvalidContextError
from apps.executions.models import Execution
from apps.executions.states import ExecutionState
from apps.executions.tracker import AgentExecutionTracker, get_execution_tracker
from tests import factories

pytestmark = [pytest.mark.mission_critical, pytest.mark.security]


def context_of(who: Principal) -> UserExecutionContext:
    return UserExecutionContext.for_principal(
        who, thread_id=uuid.uuid4(), run_id=uuid.uuid4()
    )


def view_of(who: Principal) -> AgentExecutionTracker:
    return get_execution_tracker(user_context=context_of(who))


@pytest.fixture(autouse=True)
def _no_views_left(alice_principal, bob_principal, mallory_principal):
    people = (alice_principal, bob_principal, mallory_principal)
    yield
    for who in people:
        tracker.drop_view(who.organisation_id, who.user_id)


def queued(who: Principal) -> uuid.UUID:
    order = factories.order(who, factories.stream(who))
    return view_of(who).create_execution(order, actor=who.actor)


def test_a_tracker_cannot_be_made_by_hand(alice_principal) -> None:
    with pytest.raises(RuntimeError, match="factory get_execution_tracker"):
        AgentExecutionTracker(context_of(alice_principal))


@pytest.mark.parametrize("nothing", ["alice", 1, object()])
def test_anything_but_a_context_is_refused(nothing: object) -> None:
    with pytest.raises(TypeError, match="UserExecutionContext"):
        get_execution_tracker(user_context=nothing)


def test_a_deep_agent_state_is_refused_with_the_reason() -> None:
    state = type("DeepAgentState", (), {})()

    with pytest.raises(InvalidContextError, match="shared and mutable"):
        get_execution_tracker(user_context=state)
    with pytest.raises(InvalidContextError, match="shared and mutable"):
        get_execution_tracker({"user_request": "x", "report_result": None})


def test_an_altered_context_is_refused_and_logged(
    alice_principal, mallory_principal, caplog
) -> None:
    context = context_of(mallory_principal)
    object.__setattr__(context, "user_id", alice_principal.user_id)

    with pytest.raises(InvalidContextError):
        get_execution_tracker(user_context=context)

    (record,) = (r for r in caplog.records if r.name == tracker.__name__)
    assert record.trail["user_id"] == str(alice_principal.user_id)
    assert record.trail["correlation_id"]


def test_one_person_gets_the_same_view_each_time(alice_principal) -> None:
    assert view_of(alice_principal) is view_of(alice_principal)


def test_one_person_in_two_organisations_has_two_views(alice_principal, globex) -> None:
    elsewhere = dataclasses.replace(alice_principal, organisation_id=globex.pk)

    assert view_of(alice_principal) is not view_of(elsewhere)
    tracker.drop_view(globex.pk, alice_principal.user_id)


def test_ten_threads_get_one_view(alice_principal) -> None:
    context, seen = context_of(alice_principal), []
    threads = [
        threading.Thread(target=lambda: seen.append(get_execution_tracker(context)))
        for _ in range(10)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)

    assert len(seen) == 10
    assert len({id(view) for view in seen}) == 1


def test_a_view_lists_what_its_person_created(
    alice_principal, mallory_principal
) -> None:
    mine, theirs = queued(alice_principal), queued(mallory_principal)

    assert view_of(alice_principal).get_user_executions(alice_principal.user_id) == [
        mine
    ]
    assert view_of(mallory_principal).get_user_executions(
        mallory_principal.user_id
    ) == [theirs]


def test_a_view_asked_for_another_person_lists_nothing(
    alice_principal, mallory_principal
) -> None:
    queued(alice_principal)

    view = view_of(alice_principal)

    assert view.get_user_executions(mallory_principal.user_id) == []
    assert view.cleanup_user_data(mallory_principal.user_id) == 0
    assert len(view.get_user_executions(alice_principal.user_id)) == 1


@pytest.mark.parametrize("stranger", ["mallory_principal", "bob_principal"])
def test_a_foreign_execution_looks_like_an_absent_one(
    request: pytest.FixtureRequest, alice_principal, stranger: str
) -> None:
    who: Principal = request.getfixturevalue(stranger)
    mine, view = queued(alice_principal), view_of(who)

    said = []
    for execution_id in (mine, uuid.uuid4()):
        for attempt in (
            view.get_execution,
            view.get_state,
            lambda i: view.cancel(i, actor=who.actor),
        ):
            with pytest.raises(NotFoundError) as refused:
                attempt(execution_id)
            said.append((refused.value.code, refused.value.message))

    assert len(set(said)) == 1
    assert view.get_user_executions(who.user_id) == []
    assert view_of(alice_principal).get_state(mine) is ExecutionState.PENDING


def test_an_order_for_somebody_else_is_refused_and_nothing_written(
    alice_principal, mallory_principal
) -> None:
    order = factories.order(mallory_principal, factories.stream(mallory_principal))

    with pytest.raises(NotFoundError):
        view_of(alice_principal).create_execution(order, actor=alice_principal.actor)

    with mallory_principal.scope:
        assert not Execution.objects.filter(id=order.id).exists()


def test_a_person_stops_their_own_waiting_execution(alice_principal) -> None:
    mine, view = queued(alice_principal), view_of(alice_principal)

    state = view.cancel(mine, actor=alice_principal.actor, reason="enough")

    assert state is ExecutionState.CANCELLED
    assert view.get_state(mine) is ExecutionState.CANCELLED


def test_cleaning_up_empties_the_view_and_deletes_no_row(alice_principal) -> None:
    mine, view = queued(alice_principal), view_of(alice_principal)

    assert view.cleanup_user_data(alice_principal.user_id) == 1

    assert view.get_user_executions(alice_principal.user_id) == []
    assert view.get_execution(mine).pk == mine


def test_a_view_keeps_the_newest_ids_only(alice_principal, monkeypatch) -> None:
    monkeypatch.setattr(personal, "IDS_MAX", 2)
    ids = [queued(alice_principal) for _ in range(3)]

    held = view_of(alice_principal).get_user_executions(alice_principal.user_id)

    assert held == ids[1:]
