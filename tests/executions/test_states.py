"""Nine states, fourteen phases: the tables are those of the decisions, and no way leads back."""

from __future__ import annotations

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.executions.states import (
    ALIVE,
    CLAIMED,
    PHASES,
    TERMINAL,
    TERMINAL_EVENTS,
    TRANSITIONS,
    WORDS,
    EventType,
    ExecutionState,
    Phase,
    allows,
    allows_phase,
    checked_state,
)

pytestmark = pytest.mark.mission_critical
STATES = st.sampled_from(ExecutionState)

# docs: decision 9, word for word.
DECIDED = """
pending -> starting failed timeout dead cancelled
starting -> running pending failed timeout dead cancelled
running -> completing pending failed timeout dead cancelled
completing -> completed pending failed timeout dead
completed ->
failed ->
timeout ->
dead ->
cancelled ->
"""


def test_the_table_is_the_one_that_was_decided() -> None:
    decided = {
        source.strip(): set(targets.split())
        for source, _, targets in (
            line.partition("->") for line in DECIDED.strip().splitlines()
        )
    }

    assert {
        str(s): {str(t) for t in targets} for s, targets in TRANSITIONS.items()
    } == decided


def test_there_are_nine_states_in_three_groups() -> None:
    assert len(ExecutionState) == 9
    assert {s for s, targets in TRANSITIONS.items() if not targets} == TERMINAL
    assert {"starting", "running", "completing"} == CLAIMED
    assert CLAIMED | {"pending"} == ALIVE
    assert not ALIVE & TERMINAL


@given(st.sampled_from(sorted(TERMINAL)), STATES)
def test_nothing_follows_a_terminal_state(
    end: ExecutionState, target: ExecutionState
) -> None:
    assert not allows(end, target)


@given(st.lists(STATES, max_size=30))
def test_no_walk_leaves_a_terminal_state(wishes: list[ExecutionState]) -> None:
    state, ended = ExecutionState.PENDING, False
    for wish in wishes:
        if allows(state, wish):
            assert not ended
            state = wish
            ended = state in TERMINAL


@given(STATES)
def test_no_state_follows_itself(state: ExecutionState) -> None:
    assert not allows(state, state)


def test_every_state_can_be_reached_and_every_living_one_can_end() -> None:
    reached, todo = set(), [ExecutionState.PENDING]
    while todo:
        state = todo.pop()
        if state not in reached:
            reached.add(state)
            todo += TRANSITIONS[state]

    assert reached == set(ExecutionState)
    assert all(TRANSITIONS[state] & TERMINAL for state in ALIVE)


def test_a_cancel_that_meets_completing_loses() -> None:
    assert not allows(ExecutionState.COMPLETING, ExecutionState.CANCELLED)


def test_completed_is_reached_from_completing_only() -> None:
    sources = {
        s for s, targets in TRANSITIONS.items() if ExecutionState.COMPLETED in targets
    }

    assert sources == {ExecutionState.COMPLETING}


@pytest.mark.parametrize(
    "value", ["running", "", None, 1, True, uuid.uuid4, ["running"], object()]
)
def test_anything_but_the_enum_is_a_type_error_that_names_it(value: object) -> None:
    with pytest.raises(TypeError, match="must be an ExecutionState") as caught:
        checked_state(value)

    assert repr(value) in str(caught.value)
    assert "pending, starting, running" in str(caught.value)


@pytest.mark.parametrize("value", [{}, {"state": "running"}])
def test_a_dict_is_a_value_error_that_names_it(value: dict) -> None:
    with pytest.raises(ValueError, match="not the dict") as caught:
        checked_state(value)

    assert repr(value) in str(caught.value)


@pytest.mark.parametrize("bad", ["running", Phase.STARTING, None])
def test_moves_are_asked_in_states_only(bad: object) -> None:
    with pytest.raises(TypeError):
        allows(ExecutionState.PENDING, bad)
    with pytest.raises(TypeError):
        allows(bad, ExecutionState.PENDING)


def test_each_end_has_its_event_and_its_words() -> None:
    assert set(TERMINAL_EVENTS) == TERMINAL
    assert set(TERMINAL_EVENTS.values()) == {
        EventType.AGENT_COMPLETED,
        EventType.AGENT_ERROR,
        EventType.AGENT_CANCELLED,
    }
    assert len(set(WORDS.values())) == len(ExecutionState)


def test_there_are_fourteen_phases_that_begin_with_created() -> None:
    assert len(Phase) == 14
    assert PHASES[None] == {Phase.CREATED}


@given(st.lists(st.sampled_from(Phase), max_size=40))
def test_no_walk_through_the_phases_leaves_an_end(wishes: list[Phase]) -> None:
    ends = {phase for phase, following in PHASES.items() if not following}
    present: Phase | None = None
    for wish in wishes:
        if allows_phase(present, wish):
            assert present not in ends
            present = wish

    assert ends == {
        Phase.COMPLETED,
        Phase.TIMEOUT,
        Phase.FAILED,
        Phase.CIRCUIT_BREAKER_OPEN,
    }


def test_every_phase_but_the_last_ones_may_fail() -> None:
    working = {
        phase for phase, following in PHASES.items() if following and phase is not None
    }

    assert all(Phase.FAILED in PHASES[phase] for phase in working)
