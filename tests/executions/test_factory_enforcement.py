"""The ten checks that a tracker comes from its factory only, as the first system wished them.

Translated: there, ids were texts and one object served everybody; here a person is a row, each has
a view of their own, and `None` stands for the system. Where the two old suites contradict each other
(one constructs the tracker directly, one forbids it), the factory wins. Numbers follow the old list.
Nothing asks whether a method exists: a missing one fails.
"""

from __future__ import annotations

import asyncio
import inspect
import threading
import uuid
from collections import Counter

import pytest

from apps.accounts.access import Principal
from apps.core.errors import NotFoundError
from apps.core.tenancy import system
from apps.executions import tracker
from apps.executions.errors import InvalidContextError
from apps.executions.principals import context_from
from apps.executions.tracker import AgentExecutionTracker, get_execution_tracker
from tests.executions.test_tracker import context_of

pytestmark = [pytest.mark.mission_critical, pytest.mark.security]
MONITORING = system("tests: monitoring")


@pytest.fixture(autouse=True)
def _no_views_left():
    yield
    for organisation_id, user_id in tracker._views.places():
        tracker.drop_view(organisation_id, user_id)


def view_of(who: Principal) -> AgentExecutionTracker:
    return get_execution_tracker(user_context=context_of(who))


def created(who: Principal) -> uuid.UUID:
    return view_of(who).create_execution(
        agent_name="helper", thread_id=uuid.uuid4(), user_id=who.user_id
    )


def test_1_direct_construction_names_the_factory(alice_principal) -> None:
    for arguments in ((), (context_of(alice_principal),), (None, object())):
        with pytest.raises((TypeError, RuntimeError)) as refused:
            AgentExecutionTracker(*arguments)
        if arguments:
            assert "factory" in str(refused.value)


def test_2_the_factory_returns_the_same_object_on_every_call(alice_principal) -> None:
    context = context_of(alice_principal)
    with MONITORING:
        systems = [get_execution_tracker() for _ in range(5)]

    assert len({id(view) for view in systems}) == 1
    assert len({id(get_execution_tracker(context)) for _ in range(5)}) == 1


def test_3_each_view_lists_its_owners_executions_only(
    alice_principal, bob_principal, mallory_principal
) -> None:
    people = (alice_principal, bob_principal, mallory_principal)
    ids = {who.user_id: created(who) for who in people}

    for who in people:
        listed = view_of(who).get_user_executions(who.user_id)
        assert listed == [ids[who.user_id]]
        for other in set(ids) - {who.user_id}:
            assert view_of(who).get_user_executions(other) == []


def test_4_ten_threads_see_one_object_and_no_error(alice_principal) -> None:
    context, seen, errors = context_of(alice_principal), Counter(), []
    together = threading.Barrier(10)

    def ask() -> None:
        together.wait(10)
        try:
            seen[id(get_execution_tracker(context))] += 1
        except Exception as error:  # noqa: BLE001 - told by the assertion
            errors.append(error)

    threads = [threading.Thread(target=ask) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)

    assert errors == []
    assert list(seen.values()) == [10]


def test_5_a_foreign_execution_is_refused_like_an_absent_one(
    alice_principal, mallory_principal
) -> None:
    mine = created(alice_principal)

    for execution_id in (mine, uuid.uuid4()):
        with pytest.raises(NotFoundError, match="no such execution"):
            view_of(mallory_principal).get_execution(execution_id)


def test_6_the_constructor_itself_says_that_it_is_private() -> None:
    source = inspect.getsource(AgentExecutionTracker.__init__)

    assert "raise RuntimeError" in source
    assert "get_execution_tracker" in source


@pytest.mark.parametrize("context", ["user1", "", 7, b"user1"], ids=repr)
def test_7a_a_text_is_no_context(context: object) -> None:
    with pytest.raises(TypeError, match="UserExecutionContext"):
        get_execution_tracker(user_context=context)


@pytest.mark.parametrize("context", [{}, {"session_id": "s"}, {"user_id": ""}], ids=str)
def test_7b_a_dict_without_a_user_is_a_value_error(context: dict) -> None:
    with pytest.raises(ValueError, match="user_id"):
        get_execution_tracker(user_context=context)


def test_7c_nothing_is_the_systems_and_needs_its_scope(db) -> None:
    with pytest.raises(InvalidContextError, match="system scope"):
        get_execution_tracker(user_context=None)
    with MONITORING:
        assert get_execution_tracker(user_context=None).get_metrics().total == 0


async def test_8_twenty_tasks_see_one_object(alice_principal) -> None:
    context = context_of(alice_principal)

    async def ask() -> AgentExecutionTracker:
        await asyncio.sleep(0)
        return get_execution_tracker(context)

    views = await asyncio.gather(*(ask() for _ in range(20)))

    assert len({id(view) for view in views}) == 1


def test_9_one_context_is_one_cached_object_and_looks_nothing_up_again(
    alice_principal, django_assert_num_queries
) -> None:
    context = context_from({"user_id": alice_principal.user_id})
    first = get_execution_tracker(context)

    # Instead of comparing times, which a busy machine decides: it costs no query at all.
    with django_assert_num_queries(0):
        assert all(get_execution_tracker(context) is first for _ in range(100))


def test_10_cleaning_up_leaves_nothing_listed(alice_principal) -> None:
    created(alice_principal)
    view = view_of(alice_principal)
    assert view.get_user_executions(alice_principal.user_id)

    view.cleanup_user_data(alice_principal.user_id)

    assert view.get_user_executions(alice_principal.user_id) == []
    assert view_of(alice_principal).get_user_executions(alice_principal.user_id) == []
