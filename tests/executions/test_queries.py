"""Reads about executions: the right rows, in order, of the open organisation only."""

from __future__ import annotations

import uuid
from datetime import timedelta

import pytest
from django.utils import timezone

from apps.core.errors import NotFoundError
from apps.executions import access, actions, queries
from apps.executions.states import ALIVE, ExecutionState
from tests import factories
from tests.factories import TESTS

pytestmark = pytest.mark.django_db
S = ExecutionState


def test_claimable_is_oldest_first_and_bounded(alice_principal) -> None:
    now = timezone.now()
    waiting = [
        factories.execution(alice_principal, now=now - timedelta(seconds=n))
        for n in (1, 3, 2)
    ]

    with TESTS:
        found = queries.claimable(now, 10)
        assert [s.id for s in found] == [waiting[1].id, waiting[2].id, waiting[0].id]
        assert [s.id for s in queries.claimable(now, 1)] == [waiting[1].id]


def test_claimable_waits_until_it_is_available(alice_principal) -> None:
    now = timezone.now()
    factories.execution(alice_principal, now=now + timedelta(seconds=5))

    with TESTS:
        assert queries.claimable(now, 10) == []
        assert len(queries.claimable(now + timedelta(seconds=5), 10)) == 1


def test_claimable_leaves_out_streams_where_something_runs(alice_principal) -> None:
    running = factories.running(alice_principal)
    factories.execution(alice_principal, stream_id=running.stream_id)

    with TESTS:
        assert queries.claimable(timezone.now(), 10) == []
    factories.finish(running)
    with TESTS:
        assert len(queries.claimable(timezone.now(), 10)) == 1


@pytest.mark.parametrize("state", sorted(S))
def test_claimable_is_pending_only(state, alice_principal) -> None:
    if state is S.PENDING:
        standing = factories.execution(alice_principal)
    elif state in ALIVE:
        standing = factories.claimed(alice_principal)
        path = {S.STARTING: (), S.RUNNING: (S.RUNNING,)}.get(
            state, (S.RUNNING, S.COMPLETING)
        )
        standing = factories.move(standing, *path) if path else standing
    else:
        standing = factories.ended(alice_principal, state)

    with TESTS:
        found = [s.id for s in queries.claimable(timezone.now(), 10)]
        alive = [s.id for s in queries.alive_in(standing.stream_id)]
    assert found == ([standing.id] if state is S.PENDING else [])
    assert alive == ([standing.id] if state in ALIVE else [])


def test_stop_requests_are_read_for_all_in_one_query(
    alice_principal, django_assert_num_queries
) -> None:
    standings = [factories.running(alice_principal) for _ in range(3)]
    for standing in standings[:2]:
        factories.unit(standing, lambda s=standing: actions.request_cancel(
            actor=alice_principal.actor, standing=s, reason="stop", now=timezone.now(),
        ))  # fmt: skip

    with TESTS, django_assert_num_queries(1):
        found = queries.stop_requests([standing.id for standing in standings])

    assert found == {standing.id: ("user", "stop") for standing in standings[:2]}


@pytest.mark.mission_critical
@pytest.mark.security
def test_a_stranger_reads_nothing(alice_principal, mallory_principal) -> None:
    standing = factories.ended(alice_principal, text="a secret of acme")
    ask = {
        "standing_of": lambda: queries.standing_of(standing.id),
        "alive_in": lambda: queries.alive_in(standing.stream_id),
        "events_after": lambda: queries.events_after(standing.stream_id, 0),
        "position_of": lambda: queries.position_of(standing.stream_id),
        "last_numbers": lambda: queries.last_numbers([standing.stream_id]),
        "stop_requests": lambda: queries.stop_requests([standing.id]),
        "partial_of": lambda: queries.partial_of(standing.id),
        "claimable": lambda: queries.claimable(timezone.now(), 10),
        "overdue": lambda: queries.overdue(timezone.now() + timedelta(days=1)),
    }

    with mallory_principal.scope:
        seen = {name: found for name, query in ask.items() if (found := query())}
        with pytest.raises(Exception, match="does not exist"):
            queries.input_of(standing.id)

    assert seen == {}


@pytest.mark.mission_critical
@pytest.mark.security
def test_absent_foreign_and_a_colleagues_look_the_same(
    alice_principal, bob_principal, mallory_principal
) -> None:
    standing = factories.execution(alice_principal)
    told = []
    for who, wanted in (
        (alice_principal, uuid.uuid4()),
        (mallory_principal, standing.id),
        (bob_principal, standing.id),
    ):
        with who.scope, pytest.raises(NotFoundError) as caught:
            access.execution_for(who.user_id, wanted)
        told.append((caught.value.message, caught.value.field, caught.value.fix))

    assert len(set(told)) == 1
    with alice_principal.scope:
        assert access.standing_for(alice_principal.user_id, standing.id) == standing
