"""Old names work and warn; old states, walks and ids lead to what they are here."""

from __future__ import annotations

import importlib
import uuid
import warnings
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.accounts.models import Membership, User
from apps.executions import legacy, tracker
from apps.executions.contexts import (
    ALLOWED,
    PLACEHOLDER_PREFIXES,
    PLACEHOLDERS,
    UserExecutionContext,
)
from apps.executions.errors import InvalidContextError
from apps.executions.legacy_states import (
    FROM_REGISTRY,
    FROM_SIX,
    TO_REGISTRY,
    TO_SIX,
    RegistryState,
    SixState,
    walk,
)
from apps.executions.states import TERMINAL, ExecutionState, allows
from tests.executions.test_tracker import context_of
from tests.factories import PASSWORD, TESTS

S = ExecutionState
R = RegistryState


def old(name: str) -> object:
    with pytest.warns(DeprecationWarning, match="apps.executions.tracker"):
        return getattr(legacy, name)


# -- names ---------------------------------------------------------------------------


def test_the_old_class_is_the_new_one_and_warns() -> None:
    assert old("ExecutionTracker") is tracker.AgentExecutionTracker
    with pytest.warns(DeprecationWarning, match="ExecutionTracker is an old name"):
        from apps.executions.legacy import ExecutionTracker
    assert ExecutionTracker is tracker.AgentExecutionTracker


def test_the_old_factory_gives_the_same_object_and_warns(alice_principal) -> None:
    context = context_of(alice_principal)
    factory = old("get_agent_state_tracker")

    with pytest.warns(DeprecationWarning, match="get_execution_tracker"):
        view = factory(context)

    assert view is tracker.get_execution_tracker(context)
    tracker.drop_view(alice_principal.organisation_id, alice_principal.user_id)


def test_the_present_names_do_not_warn() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        importlib.reload(importlib.import_module("apps.executions.legacy_states"))
        from apps.executions.tracker import (
            AgentExecutionTracker,
            ExecutionState,
            UserExecutionContext,
            get_execution_tracker,
        )

    names = (AgentExecutionTracker, ExecutionState, UserExecutionContext)
    assert [name.__name__ for name in names] == [
        "AgentExecutionTracker", "ExecutionState", "UserExecutionContext",
    ]  # fmt: skip
    assert get_execution_tracker.__module__ == "apps.executions.tracker"


def test_what_never_was_a_name_is_none_now() -> None:
    with pytest.raises(AttributeError, match="DeepAgentState"):
        legacy.DeepAgentState  # noqa: B018 - reading it is the test


# -- states --------------------------------------------------------------------------


def test_every_old_state_is_a_present_one_and_back() -> None:
    assert (set(FROM_SIX), set(TO_SIX)) == (set(SixState), set(S))
    assert (set(FROM_REGISTRY), set(TO_REGISTRY)) == (set(R), set(S))
    assert [TO_SIX[FROM_SIX[state]] for state in SixState] == list(SixState)
    told_apart = set(R) - {R.RECOVERING}
    assert all(TO_REGISTRY[FROM_REGISTRY[state]] is state for state in told_apart)


def test_the_registry_of_eight_is_what_it_was() -> None:
    assert {old.name: new.value for old, new in FROM_REGISTRY.items()} == {
        "PENDING": "pending",
        "INITIALIZING": "starting",
        "RUNNING": "running",
        "SUCCESS": "completed",
        "FAILED": "failed",
        "TIMEOUT": "timeout",
        "ABORTED": "cancelled",
        "RECOVERING": "starting",
    }


def test_an_end_stays_an_end_in_both_old_worlds() -> None:
    for state in S:
        ended = state in TERMINAL
        assert (TO_SIX[state] not in {SixState.PENDING, SixState.RUNNING}) is ended
        assert (
            TO_REGISTRY[state] not in {R.PENDING, R.INITIALIZING, R.RUNNING}
        ) is ended


def test_the_old_walk_passes_through_what_it_leaves_out() -> None:
    assert walk(S.PENDING, S.RUNNING) == (S.STARTING, S.RUNNING)
    assert walk(S.RUNNING, S.COMPLETED) == (S.COMPLETING, S.COMPLETED)
    assert walk(S.RUNNING, S.FAILED) == (S.FAILED,)


@given(st.sampled_from(S), st.sampled_from(S))
def test_a_walk_ends_at_its_target_and_skips_nothing(source: S, target: S) -> None:
    path = walk(source, target)

    assert path[-1] is target
    if len(path) > 1:
        steps = zip((source, *path), path, strict=False)
        assert all(allows(before, after) for before, after in steps)


@pytest.mark.parametrize(
    "wrong",
    [{"state": "x"}, "running", SixState.RUNNING],
    ids=["record", "text", "old"],
)
def test_an_old_state_is_no_present_one(wrong: object) -> None:
    with pytest.raises((ValueError, TypeError), match="ExecutionState"):
        walk(S.PENDING, wrong)


# -- ids -----------------------------------------------------------------------------


def old_person(acme, text: str) -> User:
    """Somebody whom an importer brought along under the id that their old one maps to."""
    user = User.objects.create_user(
        f"{text}@acme.example", PASSWORD, id=legacy.opaque_id(text, "user_id")
    )
    with TESTS:
        Membership.objects.create(organisation=acme, user=user, role="member")
    return user


@pytest.mark.security
@pytest.mark.parametrize("text", ["user1", "test_user"])
def test_an_old_id_leads_to_the_person_that_was_brought_along(acme, text) -> None:
    user = old_person(acme, text)
    factory = old("get_agent_state_tracker")

    with pytest.warns(DeprecationWarning, match="old name"):
        view = factory({"user_id": text, "session_id": "session456"})

    assert view.user_id == user.pk
    assert view is tracker.get_execution_tracker({"user_id": user.pk})
    tracker.drop_view(acme.pk, user.pk)


@pytest.mark.security
def test_an_old_id_of_nobody_leads_nowhere(acme) -> None:
    factory = old("get_agent_state_tracker")

    for text in ("user1", "user2", "default_user"):
        with (
            pytest.warns(DeprecationWarning, match="old name"),
            pytest.raises(InvalidContextError, match="nobody"),
        ):
            factory({"user_id": text})


@pytest.mark.security
def test_an_old_id_is_refused_outside_this_layer(acme) -> None:
    old_person(acme, "user1")

    with pytest.raises(InvalidContextError, match="must be a UUID"):
        tracker.get_execution_tracker({"user_id": "user1"})


def test_an_old_id_maps_to_the_same_uuid_for_ever() -> None:
    assert legacy.opaque_id("user1", "user_id") == uuid.uuid5(
        UUID("6b5c1a0e-6f0a-5d0c-9a55-0d3a1f1e3c05"), "user1"
    )
    assert legacy.opaque_id(" user1 ", "x") == legacy.opaque_id("user1", "x")
    assert legacy.opaque_id("user1", "x") != legacy.opaque_id("user2", "x")


def test_threads_of_two_people_with_one_old_name_are_two() -> None:
    first, second = (
        legacy.real_ids({"user_id": who, "thread_id": "thread1"})["thread_id"]
        for who in ("user1", "user2")
    )

    assert first != second


@pytest.mark.security
@pytest.mark.parametrize(
    "wrong",
    [
        *sorted(PLACEHOLDERS),
        *(f"{prefix}1" for prefix in PLACEHOLDER_PREFIXES if prefix != "test_"),
        "",
        "  ",
        None,
        1,
        str(UUID(int=0)),
        UUID(int=0),
    ],
    ids=repr,
)
def test_placeholders_are_refused_here_too(wrong: object) -> None:
    with pytest.raises(InvalidContextError, match="user_id"):
        legacy.opaque_id(wrong, "user_id")


@pytest.mark.parametrize("name", sorted(ALLOWED))
def test_names_of_technical_accounts_are_ids_here(name: str) -> None:
    assert legacy.opaque_id(name, "user_id").version == 5


def test_a_uuid_stays_what_it_is() -> None:
    assert legacy.opaque_id(str(UUID(int=7)), "user_id") == UUID(int=7)


def test_a_context_passes_through_the_old_factory_unchanged(alice_principal) -> None:
    context = context_of(alice_principal)
    assert isinstance(context, UserExecutionContext)
    factory = old("get_agent_state_tracker")

    with pytest.warns(DeprecationWarning, match="old name"), pytest.raises(TypeError):
        factory("user1")
    with pytest.warns(DeprecationWarning, match="old name"):
        assert factory(context).user_id == alice_principal.user_id
    tracker.drop_view(alice_principal.organisation_id, alice_principal.user_id)
