"""Without a user there is the system's tracker: read-only figures, inside a system scope only."""

from __future__ import annotations

import pytest

from apps.core.actors import Actor
from apps.core.clock import clock
from apps.core.tenancy import staff, system
from apps.executions.circuit import CircuitState
from apps.executions.errors import InvalidContextError
from apps.executions.models import Breaker
from apps.executions.overview import SystemTracker
from apps.executions.states import ExecutionState
from apps.executions.tracker import get_execution_tracker
from tests import factories
from tests.factories import TESTS

pytestmark = [pytest.mark.mission_critical, pytest.mark.security]
MONITORING = system("tests: monitoring")


def test_it_is_one_object_inside_a_system_scope() -> None:
    with MONITORING:
        tracker = get_execution_tracker()
        assert tracker is get_execution_tracker(user_context=None)

    assert isinstance(tracker, SystemTracker)


def test_it_cannot_be_made_by_hand() -> None:
    with pytest.raises(RuntimeError, match="factory get_execution_tracker"):
        SystemTracker()


def test_nobody_gets_it_without_a_system_scope(alice_principal, support) -> None:
    with pytest.raises(InvalidContextError, match="system scope"):
        get_execution_tracker()
    for scope in (alice_principal.scope, staff(support.pk)):
        with scope, pytest.raises(InvalidContextError, match="system scope"):
            get_execution_tracker(None)


def test_it_says_nothing_after_the_scope_was_closed(alice_principal) -> None:
    with MONITORING:
        tracker = get_execution_tracker()

    for ask in (
        tracker.get_metrics,
        lambda: tracker.circuit_breaker_status("a:b"),
        lambda: tracker.reset_circuit_breaker(
            "a:b", actor=Actor.system("x"), reason="x"
        ),
    ):
        with pytest.raises(InvalidContextError):
            ask()
        with alice_principal.scope, pytest.raises(InvalidContextError):
            ask()


def test_it_counts_every_state_of_all_organisations(
    alice_principal, mallory_principal
) -> None:
    for state in (
        ExecutionState.COMPLETED,
        ExecutionState.FAILED,
        ExecutionState.TIMEOUT,
        ExecutionState.DEAD,
        ExecutionState.CANCELLED,
    ):
        factories.ended(alice_principal, state)
    factories.ended(mallory_principal)
    factories.running(mallory_principal)

    with MONITORING:
        found = get_execution_tracker().get_metrics()

    assert (found.total, found.active, found.completed) == (7, 1, 2)
    assert (found.failed, found.timeout, found.dead, found.cancelled) == (1, 1, 1, 1)
    assert found.success_rate == pytest.approx(2 / 6)
    assert found.failure_rate == pytest.approx(3 / 6)


def test_rates_of_nothing_are_nought(db) -> None:
    with MONITORING:
        found = get_execution_tracker().get_metrics()

    assert (found.total, found.success_rate, found.failure_rate) == (0, 0.0, 0.0)


def test_it_closes_a_breaker_that_is_open(db) -> None:
    with TESTS:
        now = clock.now()
        Breaker.objects.create(
            key="p:m", state="open", opened_at=now, open_until=now, updated_at=now,
            failures=3, trips=1,
        )  # fmt: skip

    with MONITORING:
        tracker = get_execution_tracker()
        before = tracker.circuit_breaker_status("p:m").state
        closed = tracker.reset_circuit_breaker(
            "p:m", actor=Actor.system("tests"), reason="repaired"
        )
        after = tracker.circuit_breaker_status("p:m").state
        again = tracker.reset_circuit_breaker(
            "p:m", actor=Actor.system("tests"), reason="repaired"
        )

    assert (before, closed) == (CircuitState.OPEN, True)
    assert (after, again) == (CircuitState.CLOSED, False)
