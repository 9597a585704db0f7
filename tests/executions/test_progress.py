"""While it runs: phases, heartbeats, the text so far, requests to stop."""

from __future__ import annotations

import uuid
from datetime import timedelta

import pytest
from django.utils import timezone

from apps.executions import actions, moves, queries
from apps.executions.errors import IllegalPhaseError
from apps.executions.models import Content, PhaseEntry
from apps.executions.states import ExecutionState, Phase
from tests import factories
from tests.factories import TESTS
from tests.invariants import violations

pytestmark = [pytest.mark.django_db, pytest.mark.mission_critical]
S = ExecutionState
OTHER = uuid.UUID("00000000-0000-4000-8000-00000000beef")  # another runner process


# -- phases, heartbeats, checkpoints, stops ----------------------------------------------


def test_phases_are_numbered_per_claim(alice_principal) -> None:
    standing, now = factories.claimed(alice_principal), timezone.now()

    entered = factories.unit(standing, lambda: moves.enter_phase(
        standing, (Phase.CREATED, now), (Phase.WEBSOCKET_SETUP, now),
    ))  # fmt: skip
    factories.unit(
        standing, lambda: moves.enter_phase(entered, (Phase.CONTEXT_VALIDATION, now))
    )

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
    before = factories.rows(standing)

    with pytest.raises(IllegalPhaseError, match="thinking"):
        factories.unit(standing, lambda: moves.enter_phase(
            standing, (Phase.CREATED, now), (Phase.THINKING, now),
        ))  # fmt: skip

    assert factories.rows(standing) == before


def test_a_heartbeat_renews_what_is_held_and_reports_what_is_not(
    alice_principal,
) -> None:
    now = timezone.now()
    held, lost = (
        factories.claimed(alice_principal, now=now),
        factories.claimed(alice_principal, now=now),
    )
    ended = factories.finish(factories.running(alice_principal, now=now))
    factories.unit(lost, lambda: actions.lose_lease(lost, now=now, reason="test"))
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
    factories.unit(old, lambda: actions.lose_lease(old, now=now, reason="test"))
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
    factories.unit(
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

    factories.unit(standing, lambda: actions.complete_input(
        standing=standing, values={"history": ["a"]}, now=timezone.now(),
    ))  # fmt: skip

    with TESTS:
        assert [s.id for s in queries.claimable(timezone.now(), 10)] == [standing.id]
        assert queries.input_of(standing.id) == {"history": ["a"]}


def test_a_stop_is_asked_for_once_and_keeps_its_first_reason(alice_principal) -> None:
    standing, now = factories.running(alice_principal), timezone.now()

    for reason in ("first", "second"):
        factories.unit(standing, lambda r=reason: actions.request_cancel(
            actor=alice_principal.actor, standing=standing, reason=r, now=now,
        ))  # fmt: skip

    with alice_principal.scope:
        assert queries.stop_requests([standing.id]) == {standing.id: ("user", "first")}


@pytest.mark.regression
def test_a_later_claim_forgets_the_text_that_an_earlier_one_kept(
    alice_principal,
) -> None:
    standing, now = factories.running(alice_principal), timezone.now()
    factories.unit(
        standing,
        lambda: actions.checkpoint(standing, text="half", first_token_at=now, now=now),
    )

    pending = factories.unit(
        standing, lambda: actions.lose_lease(standing, now=now, reason="test")
    )
    with TESTS:
        kept = queries.partial_of(standing.id)
    factories.claim(pending)

    with TESTS:
        assert (kept, queries.partial_of(standing.id)) == ("half", "")
