"""Old events go from the front of a log, whole executions at a time; the log stays gapless."""

from __future__ import annotations

import threading
from datetime import datetime, timedelta
from uuid import UUID

import pytest
from django.db import connection
from django.utils import timezone

from apps.core.database import write_now
from apps.core.flags import Switch
from apps.executions import actions, journal, queries, retention
from apps.executions.journal import Draft
from apps.executions.models import Content, Event, Execution, Stream
from apps.executions.standing import Standing
from apps.executions.states import EventType, ExecutionState
from tests import factories
from tests.factories import TESTS
from tests.switches import off

pytestmark = [pytest.mark.mission_critical]
NOW = timezone.now()
OLD, BEFORE = NOW - timedelta(days=100), NOW - timedelta(days=90)


def seqs(stream_id: UUID) -> list[int]:
    with TESTS:
        events = Event.objects.filter(stream_id=stream_id).order_by("seq")
        return list(events.values_list("seq", flat=True))


def kept(stream_id: UUID) -> tuple[int, int]:
    with TESTS:
        stream = Stream.objects.get(id=stream_id)
    return stream.first_kept, stream.last


def gapless(stream_id: UUID) -> bool:
    first, last = kept(stream_id)
    return seqs(stream_id) == list(range(first, last + 1))


def prune(who, stream_id: UUID, **values) -> int:
    return write_now(
        who.scope, lambda: retention.prune(stream_id, before=BEFORE, **values)
    )


def told(standing: Standing, count: int, now: datetime = OLD) -> None:
    """So many events of an execution in one go."""
    factories.unit(
        standing,
        lambda: journal.append(
            organisation_id=standing.organisation_id,
            stream_id=standing.stream_id,
            drafts=[Draft(type=EventType.AGENT_THINKING) for _ in range(count)],
            now=now,
            execution_id=standing.id,
            attempt=1,
        ),
    )


def question(who, stream_id: UUID, now: datetime) -> None:
    """A person's message, which belongs to no execution."""
    write_now(
        who.scope,
        lambda: journal.append(
            organisation_id=who.organisation_id,
            stream_id=stream_id,
            drafts=[Draft(type=EventType.MESSAGE_CREATED)],
            now=now,
        ),
    )


@pytest.fixture
def stream_id(alice_principal) -> UUID:
    return factories.stream(alice_principal)


def test_old_events_go_and_young_ones_stay(alice_principal, stream_id):
    for then in (OLD, OLD, NOW):
        question(alice_principal, stream_id, then)
        factories.ended(alice_principal, stream_id=stream_id, now=then)
    assert seqs(stream_id) == list(range(1, 10))

    removed = prune(alice_principal, stream_id)

    assert removed == 6
    assert (seqs(stream_id), kept(stream_id)) == ([7, 8, 9], (7, 9))
    assert prune(alice_principal, stream_id) == 0


def test_a_log_may_go_as_a_whole_and_goes_on_after_its_last_number(
    alice_principal, stream_id
):
    factories.ended(alice_principal, stream_id=stream_id, now=OLD)

    prune(alice_principal, stream_id)
    assert (seqs(stream_id), kept(stream_id)) == ([], (3, 2))
    question(alice_principal, stream_id, NOW)

    assert (seqs(stream_id), kept(stream_id)) == ([3], (3, 3))


def test_an_execution_that_reaches_into_the_young_stays_whole(
    alice_principal, stream_id
):
    first = factories.ended(alice_principal, stream_id=stream_id, now=OLD)
    long = factories.running(alice_principal, stream_id=stream_id, now=OLD)
    factories.finish(long, now=NOW)

    prune(alice_principal, stream_id)

    with TESTS:
        assert [e.final for e in Event.objects.filter(execution_id=long.id)] == [
            False,
            True,
        ]
        assert not Event.objects.filter(execution_id=first.id).exists()
    assert gapless(stream_id)


@pytest.mark.parametrize("state", [ExecutionState.PENDING, ExecutionState.RUNNING])
def test_what_is_alive_keeps_its_question_and_all_that_follows(
    alice_principal, stream_id, state: ExecutionState
):
    factories.ended(alice_principal, stream_id=stream_id, now=OLD)
    asked = OLD + timedelta(days=1)
    question(alice_principal, stream_id, asked)
    make = factories.running if state is ExecutionState.RUNNING else factories.execution
    alive = make(alice_principal, stream_id=stream_id, now=asked)
    question(alice_principal, stream_id, asked + timedelta(days=1))

    assert prune(alice_principal, stream_id) == 2

    assert kept(stream_id)[0] == 3
    assert gapless(stream_id)
    if state is ExecutionState.RUNNING:
        factories.finish(alive, now=asked + timedelta(days=2))
        prune(alice_principal, stream_id)
        assert seqs(stream_id) == []


def test_only_the_log_goes_the_rest_of_an_execution_stays(alice_principal, stream_id):
    ended = factories.ended(alice_principal, stream_id=stream_id, now=OLD)

    prune(alice_principal, stream_id)

    row = factories.row(ended)
    assert row.state == "completed"
    with TESTS:
        assert Content.objects.get(execution_id=ended.id).output == "The answer."
        assert row.transitions.count() == row.version


@pytest.mark.performance
def test_a_unit_removes_so_many_events_and_whole_executions(
    alice_principal, stream_id, django_assert_max_num_queries
):
    for _ in range(6):
        factories.ended(alice_principal, stream_id=stream_id, now=OLD)

    with django_assert_max_num_queries(16):
        removed = [prune(alice_principal, stream_id, limit=5) for _ in range(1)]
    while batch := prune(alice_principal, stream_id, limit=5):
        removed.append(batch)
        assert gapless(stream_id)

    assert removed == [4, 4, 4]


def test_one_execution_longer_than_a_batch_goes_at_once(alice_principal, stream_id):
    for _ in range(2):
        long = factories.running(alice_principal, stream_id=stream_id, now=OLD)
        told(long, 30)
        factories.finish(long, now=OLD)

    assert [prune(alice_principal, stream_id, limit=5) for _ in range(3)] == [32, 32, 0]


def test_attempts_of_several_executions_interleaved_are_not_parted(
    alice_principal, stream_id
):
    first = factories.running(alice_principal, stream_id=stream_id, now=OLD)
    waiting = actions_lost(first)
    second = factories.running(alice_principal, stream_id=stream_id, now=OLD)
    factories.finish(second, now=OLD)
    again = factories.move(factories.claim(waiting, now=OLD), ExecutionState.RUNNING)
    factories.finish(again, now=NOW)

    assert prune(alice_principal, stream_id) == 0
    assert kept(stream_id)[0] == 1


def actions_lost(standing: Standing) -> Standing:
    return factories.unit(
        standing, lambda: actions.lose_lease(standing, now=OLD, reason="gone")
    )


@pytest.mark.security
def test_a_foreign_log_is_not_there_to_be_cut(
    alice_principal, mallory_principal, stream_id
):
    factories.ended(alice_principal, stream_id=stream_id, now=OLD)

    assert prune(mallory_principal, stream_id) == 0
    assert seqs(stream_id) == [1, 2]


# -- the sweep -------------------------------------------------------------------------


@pytest.fixture
def walk(monkeypatch, settings) -> retention._Walk:
    settings.NETRA_EVENTS_DAYS = 90
    walk = retention._Walk()
    monkeypatch.setattr(retention, "_walk", walk)
    monkeypatch.setattr(retention, "STREAMS", 2)
    monkeypatch.setattr(retention, "SLICE_SECONDS", 60)
    return walk


def old_and_young(who) -> tuple[list[UUID], UUID]:
    olds = [factories.ended(who, now=OLD).stream_id for _ in range(5)]
    return olds, factories.ended(who).stream_id


def test_a_walk_goes_through_all_streams_of_all_organisations(
    alice_principal, mallory_principal, walk
):
    olds, young = old_and_young(alice_principal)
    others, _ = old_and_young(mallory_principal)

    assert retention.sweep() == 20
    assert [seqs(stream) for stream in (*olds, *others)] == [[]] * 10
    assert seqs(young) == [1, 2]
    factories.ended(alice_principal, now=OLD)
    assert retention.sweep() == 0, "the next walk begins in an hour"


def test_a_walk_that_is_interrupted_goes_on_where_it_was(
    alice_principal, walk, monkeypatch
):
    olds, _ = old_and_young(alice_principal)
    monkeypatch.setattr(retention, "SLICE_SECONDS", 0.000001)

    slices = [retention.sweep() for _ in range(40)]

    assert sum(slices) == 10
    assert max(slices) == 2
    assert [seqs(stream) for stream in olds] == [[]] * 5
    assert walk.after is None


def test_zero_days_keep_everything(alice_principal, walk, settings):
    settings.NETRA_EVENTS_DAYS = 0
    olds, _ = old_and_young(alice_principal)

    assert retention.sweep() == 0
    assert seqs(olds[0]) == [1, 2]


def test_a_switch_keeps_everything_too(alice_principal, walk):
    olds, _ = old_and_young(alice_principal)

    with off(Switch.RETENTION):
        assert retention.sweep() == 0

    assert seqs(olds[0]) == [1, 2]


# -- beside others ---------------------------------------------------------------------


@pytest.mark.live
def test_cutting_and_appending_at_once_leaves_no_gap(
    committed, alice_principal, stream_id
):
    for _ in range(20):
        factories.ended(alice_principal, stream_id=stream_id, now=OLD)
    trouble: list[BaseException] = []

    def append() -> None:
        try:
            for _ in range(20):
                question(alice_principal, stream_id, NOW)
        except BaseException as error:  # noqa: BLE001 - shown below
            trouble.append(error)
        finally:
            connection.close()

    appending = threading.Thread(target=append)
    appending.start()
    while prune(alice_principal, stream_id, limit=4):
        assert queries_see_no_gap(stream_id)
    appending.join(30)

    assert trouble == []
    assert gapless(stream_id)
    assert kept(stream_id) == (41, 60)


def queries_see_no_gap(stream_id: UUID) -> bool:
    with TESTS:
        page = [entry.seq for entry in queries.events_after(stream_id, 0)]
    return page == list(range(page[0], page[0] + len(page))) if page else True


def test_the_checks_of_this_file_would_see_a_gap(alice_principal, stream_id):
    factories.ended(alice_principal, stream_id=stream_id)
    with TESTS:
        Event.objects.filter(stream_id=stream_id, seq=1).delete()
        assert Execution.objects.filter(stream_id=stream_id).exists()

    assert not gapless(stream_id)
