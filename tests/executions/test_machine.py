"""Any order of anything: a machine of random acts, honest and stale, never breaks an invariant."""

from __future__ import annotations

import uuid
from dataclasses import replace
from datetime import timedelta

import pytest
from django.db import transaction
from django.utils import timezone
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from apps.executions import actions, endings, moves, queries, recovery
from apps.executions.errors import IllegalTransitionError, LeaseLostError
from apps.executions.models import Execution
from apps.executions.standing import Standing
from apps.executions.states import TERMINAL, ExecutionState
from tests import factories
from tests.factories import TESTER, TESTS
from tests.invariants import violations

S = ExecutionState
OWNERS = [uuid.UUID(int=n << 64 | 0x4000800000000000) for n in (1, 2)]


class Executions(RuleBasedStateMachine):
    """One stream, several executions, two runner processes, and a clock that only goes on."""

    standings = Bundle("standings")  # as they once were: most of them are stale by now

    @initialize()
    def begin(self) -> None:
        self.atomic = transaction.atomic()
        self.atomic.__enter__()
        place = factories.organisation("machine")
        self.who = factories.principal(
            factories.person("m@machine.example", place), place
        )
        self.stream = factories.stream(self.who)
        self.now = timezone.now()
        self.ended: dict[uuid.UUID, str] = {}

    def teardown(self) -> None:
        if hasattr(self, "atomic"):
            transaction.set_rollback(True)
            self.atomic.__exit__(None, None, None)

    @rule(target=standings)
    def queue(self) -> Standing:
        return factories.execution(
            self.who, stream_id=self.stream, now=self.now, timeout_seconds=60
        )

    @rule(target=standings, standing=standings, owner=st.sampled_from(OWNERS))
    def claim(self, standing: Standing, owner: uuid.UUID):
        def unit() -> Standing | None:
            taken = actions.claim(standing, owner=owner, now=self.now)
            if taken is not None:
                self.announce(standing, taken)
            return taken

        taken = self.attempt(standing, unit)
        return multiple() if taken is None else taken

    @rule(target=standings, standing=standings, target_state=st.sampled_from(S))
    def move(self, standing: Standing, target_state: ExecutionState):
        if target_state in TERMINAL or target_state in {S.STARTING, S.PENDING}:
            return multiple()  # these have rules of their own
        moved = self.attempt(
            standing,
            lambda: moves.move(standing, target_state, actor=TESTER, now=self.now),
        )
        return moved or multiple()

    @rule(target=standings, standing=standings, state=st.sampled_from(sorted(TERMINAL)))
    def finish(self, standing: Standing, state: ExecutionState):
        ending = factories.ending(state, text=state)
        done = self.attempt(
            standing,
            lambda: endings.finish(standing, ending, actor=TESTER, now=self.now),
        )
        return done or multiple()

    @rule(standing=standings)
    def cancel(self, standing: Standing) -> None:
        self.attempt(
            standing,
            lambda: endings.cancel(
                actor=self.who.actor, standing=standing, reason="stop", now=self.now
            ),
            may_note=True,
        )

    @rule(standing=standings)
    def hand_back(self, standing: Standing) -> None:
        self.attempt(standing, lambda: actions.hand_back(standing, now=self.now))

    @rule(seconds=st.integers(1, 45))
    def time_passes_and_the_sweeper_comes(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)
        recovery.sweep(self.now)
        assert [line for line in violations(self.now) if line.startswith("I8")] == []

    @rule(target=standings)
    def read(self):
        with TESTS:
            return multiple(
                *queries.standings(Execution.objects.filter(stream_id=self.stream))
            )

    @rule(target=standings, standing=standings)
    def forge(self, standing: Standing) -> Standing:
        return replace(standing, lease_token=uuid.uuid4())

    def announce(self, before: Standing, taken: Standing) -> None:
        from apps.executions import journal

        journal.append(
            organisation_id=taken.organisation_id, stream_id=taken.stream_id,
            drafts=actions.start_event(before, taken), now=self.now,
            execution_id=taken.id, attempt=taken.attempt,
        )  # fmt: skip

    def attempt(self, standing: Standing, work, *, may_note: bool = False):
        """Try it; whoever holds an old or forged standing must not change a thing."""
        stale = self.is_stale(standing)
        before = factories.rows(standing)
        try:
            with transaction.atomic():
                result = factories.unit(standing, work)
        except (LeaseLostError, IllegalTransitionError):
            result = None
        if (stale and not may_note) or result is None:
            assert factories.rows(standing) == before, (
                "a refused or stale act wrote something"
            )
        if stale and not may_note:
            assert result is None, "a stale act was accepted"
        return result

    def is_stale(self, standing: Standing) -> bool:
        with TESTS:
            present = queries.standing_of(standing.id)
        assert present is not None
        return (present.version, present.lease_token) != (
            standing.version,
            standing.lease_token,
        )

    @invariant()
    def everything_holds(self) -> None:
        if not hasattr(self, "ended"):
            return
        assert violations() == []
        with TESTS:
            rows = Execution.objects.filter(stream_id=self.stream).values_list(
                "id", "state"
            )
            for execution_id, state in rows:
                assert self.ended.get(execution_id, state) == state, (
                    "a terminal state changed"
                )
                if ExecutionState(state) in TERMINAL:
                    self.ended[execution_id] = state


@pytest.mark.django_db
@pytest.mark.mission_critical
def test_no_order_of_acts_breaks_an_invariant() -> None:
    run_state_machine_as_test(
        Executions,
        settings=settings(
            max_examples=15,
            stateful_step_count=25,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
