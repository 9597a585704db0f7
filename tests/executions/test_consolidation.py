"""The ten checks that there is one tracker and one truth, as the first system wished them.

Translated: their engine is our runner with its leases, their ID manager is `core.ids` and the
standard library's UUIDs (random or rising, never counted), their time-outs and breakers live in
modules of their own, which the tracker calls. Views come from the factory, which the old checks
went round. Numbers follow the old list. Nothing asks whether a method exists: each is called.
"""

from __future__ import annotations

import ast
import importlib
import uuid

import pytest

from apps.core.tenancy import system
from apps.executions import personal, runner, states
from apps.executions.circuit import CircuitState
from apps.executions.states import ExecutionState
from apps.executions.tracker import drop_view, get_execution_tracker
from tests.executions.test_tracker import context_of
from tests.sources import called, product

pytestmark = pytest.mark.mission_critical
S = ExecutionState
OLD_CLASSES = {
    "AgentStateTracker",
    "AgentExecutionTimeoutManager",
    "DeepAgentState",
    "ExecutionTracker",
}


@pytest.fixture
def view(alice_principal):
    yield get_execution_tracker(context_of(alice_principal))
    drop_view(alice_principal.organisation_id, alice_principal.user_id)


@pytest.mark.parametrize(
    "name",
    [
        "agent_state_tracker",
        "agent_execution_timeout_manager",
        "execution_tracker",
        "agent_execution_tracker",
    ],
)
def test_1_and_2_there_is_no_second_tracker_to_import(name: str) -> None:
    for package in ("apps.executions", "apps.agents", "apps.core"):
        with pytest.raises(ModuleNotFoundError):
            importlib.import_module(f"{package}.{name}")


def test_3_what_runs_executions_keeps_no_states_of_its_own() -> None:
    classes = {
        node.name
        for source in product()
        for node in ast.walk(source.tree)
        if isinstance(node, ast.ClassDef)
    }
    kept = set(vars(runner.Runner()))

    assert not OLD_CLASSES & classes
    assert not {name for name in kept if "state" in name or "timeout" in name}


def test_3b_there_is_one_enum_of_states_with_these_values() -> None:
    with_values = [
        source.module
        for source in product()
        for node in ast.walk(source.tree)
        if isinstance(node, ast.ClassDef) and node.name == "ExecutionState"
    ]

    assert with_values == ["apps.executions.states"]
    assert personal.ExecutionState is states.ExecutionState is ExecutionState
    assert len(ExecutionState) == 9


def test_4_and_8_ids_are_made_by_the_two_makers_and_never_put_together() -> None:
    """No id is a formatted text with a counter or a piece of a random number."""
    wrong = [
        f"{source.file}:{node.lineno}"
        for source in product()
        if source.app == "executions"
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Call)
        and called(node) in {"uuid1", "uuid3", "getnode", "token_hex", "randint"}
    ]

    assert wrong == []


def test_5_deadlines_are_set_in_one_place_and_breakers_have_one_machine() -> None:
    setters = {
        source.module
        for source in product()
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Dict)
        and any(
            isinstance(key, ast.Constant) and key.value == "deadline_at"
            for key in node.keys
        )
    } - {"apps.executions.serializers"}
    machines = {
        source.module
        for source in product()
        for node in ast.walk(source.tree)
        if isinstance(node, ast.FunctionDef) and node.name == "admit"
    } - {"apps.accounts.admission"}

    assert setters <= {"apps.executions.actions", "apps.executions.approvals"}
    assert machines == {"apps.executions.circuit"}


def test_6_the_tracker_tells_and_moves_states(view) -> None:
    mine = view.create_execution(agent_name="helper")

    assert view.get_agent_state(mine) is S.PENDING
    assert view.validate_state_transition(S.PENDING, S.STARTING)
    assert view.transition_state(mine, S.STARTING) is S.STARTING
    assert view.set_agent_state(mine, S.RUNNING)
    assert [move.target for move in view.get_state_history(mine)] == [
        S.PENDING, S.STARTING, S.RUNNING,
    ]  # fmt: skip
    assert view.cleanup_state(mine)


def test_7_the_tracker_knows_time_and_breakers(view) -> None:
    mine = view.create_execution(agent_name="helper")

    view.set_timeout(mine, 12)

    assert view.check_timeout(mine).seconds == 12
    closed = CircuitState.CLOSED
    assert view.register_circuit_breaker("p:m").state is closed
    assert view.circuit_breaker_status("p:m").state is closed
    with system("tests: monitoring"):
        assert not get_execution_tracker().reset_circuit_breaker(
            "p:m", actor=view._actor, reason="nothing to close"
        )


def test_9_executions_are_moved_by_one_function() -> None:
    """The rule itself is held by the architecture test; here, that the tracker has no other way."""
    (source,) = (s for s in product() if s.module == "apps.executions.personal")

    calls = {ast.unparse(call.func) for call in source.calls()}

    assert "caller.advance" in calls
    assert not {name for name in calls if "sql." in name or ".objects." in name}


def test_10_what_was_created_reads_back_the_same(view) -> None:
    mine = view.create_execution(
        agent_name="test_agent", thread_id=uuid.uuid4(), timeout_seconds=30
    )

    row = view.get_execution(mine)

    assert (row.agent, row.timeout_seconds) == ("test_agent", 30)
    assert ExecutionState(row.state).name == "PENDING"
