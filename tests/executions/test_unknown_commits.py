"""A commit whose fate nobody knows: the lease's holder looks, and neither repeats nor loses it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from django.utils import timezone

from apps.core import database
from apps.core.database import read
from apps.core.transactions import (
    CommitUnknownError,
    DatabaseConnectionError,
    DiskFullError,
)
from apps.executions import actions, journal, leased, moves, queries
from apps.executions.errors import LeaseLostError
from apps.executions.journal import Draft
from apps.executions.leased import LeasedExecution
from apps.executions.models import Event
from apps.executions.standing import RUNNER, Standing
from apps.executions.states import EventType, ExecutionState, Phase
from tests import factories
from tests.factories import TESTS
from tests.invariants import violations

pytestmark = [pytest.mark.mission_critical]
THOUGHT: dict[str, object] = {"agent": "a", "step": 1, "note": "hm", "progress": None}


@pytest.fixture
async def lease(
    committed, live_hub, alice_principal, monkeypatch
) -> AsyncIterator[LeasedExecution]:
    monkeypatch.setattr(leased, "PAUSE_SECONDS", 0.01)
    standing = await asyncio.to_thread(factories.running, alice_principal)
    held = LeasedExecution(standing)
    held.standing = await read(TESTS, lambda: factories.present(standing))
    yield held
    held.close()


Submit = Callable[..., "asyncio.Future[Any]"]


def breaking(*errors: tuple[type[Exception], bool]) -> Submit:
    """`submit`, whose first calls fail with these errors; True = after their unit was committed."""
    planned = list(errors)

    def submit(scope: Any, unit: Callable[[], Any]) -> asyncio.Future[Any]:
        if not planned:
            return database.submit(scope, unit)
        error, written = planned.pop(0)

        async def broken() -> Any:
            if written:
                await database.submit(scope, unit)
            raise error()

        return asyncio.ensure_future(broken())

    return submit


async def events_of(standing: Standing) -> list[str]:
    return await read(
        TESTS,
        lambda: list(
            Event.objects.filter(execution_id=standing.id)
            .order_by("seq")
            .values_list("type", flat=True)
        ),
    )


@pytest.mark.parametrize("written", [True, False], ids=["was committed", "was not"])
@pytest.mark.parametrize("error", [CommitUnknownError, DatabaseConnectionError])
async def test_an_event_is_there_once_whatever_became_of_its_first_commit(
    error, written, lease, monkeypatch
) -> None:
    monkeypatch.setattr(leased, "submit", breaking((error, written)))

    await lease.announce(EventType.AGENT_THINKING, dict(THOUGHT))
    await lease.finish(factories.ending(text="done"))

    assert await events_of(lease.standing) == [
        "agent_started",
        "agent_thinking",
        "agent_completed",
    ]
    assert await read(TESTS, violations) == []


@pytest.mark.parametrize("written", [True, False], ids=["was committed", "was not"])
async def test_an_end_is_written_once(written, lease, monkeypatch) -> None:
    monkeypatch.setattr(leased, "submit", breaking((CommitUnknownError, written)))

    await lease.finish(factories.ending(text="done"))

    row = await read(TESTS, lambda: factories.row(lease.standing))
    assert (row.state, lease.standing.state) == ("completed", "completed")
    assert await events_of(lease.standing) == ["agent_started", "agent_completed"]
    assert await read(TESTS, violations) == []


async def test_a_database_that_stays_away_is_waited_for(lease, monkeypatch) -> None:
    away = [(DatabaseConnectionError, False)] * 3
    monkeypatch.setattr(leased, "submit", breaking(*away))
    asked = []

    async def reading(scope: Any, work: Callable[[], Any]) -> Any:
        asked.append(work)
        if len(asked) < 4:
            raise DatabaseConnectionError
        return await read(scope, work)

    monkeypatch.setattr(leased, "read", reading)

    await lease.finish(factories.ending(text="done"))

    assert len(asked) == 6
    assert await events_of(lease.standing) == ["agent_started", "agent_completed"]


@pytest.mark.parametrize("written", [True, False], ids=["was committed", "was not"])
async def test_a_stop_that_meets_a_failing_write_is_obeyed_once_that_is_settled(
    written, lease, monkeypatch
) -> None:
    handed_over, goes_wrong = asyncio.Event(), asyncio.Event()
    broken = breaking((CommitUnknownError, written))

    def submit(scope: Any, unit: Callable[[], Any]) -> asyncio.Future[Any]:
        async def later() -> Any:
            handed_over.set()
            await goes_wrong.wait()
            return await broken(scope, unit)

        return asyncio.ensure_future(later())

    monkeypatch.setattr(leased, "submit", submit)
    telling = asyncio.ensure_future(
        lease.announce(EventType.AGENT_THINKING, dict(THOUGHT))
    )
    await handed_over.wait()
    telling.cancel()
    asyncio.get_running_loop().call_soon(goes_wrong.set)

    with pytest.raises(asyncio.CancelledError):
        await telling
    await lease.finish(factories.ending(ExecutionState.CANCELLED))

    assert await events_of(lease.standing) == [
        "agent_started",
        "agent_thinking",
        "agent_cancelled",
    ]
    assert await read(TESTS, violations) == []


async def test_who_fences_itself_meanwhile_stops_waiting(lease, monkeypatch) -> None:
    monkeypatch.setattr(leased, "submit", breaking((DatabaseConnectionError, False)))

    async def reading(scope: Any, work: Callable[[], Any]) -> Any:
        lease.lost = True
        raise DatabaseConnectionError

    monkeypatch.setattr(leased, "read", reading)

    with pytest.raises(LeaseLostError):
        await lease.finish(factories.ending(text="done"))

    assert await events_of(lease.standing) == ["agent_started"]


async def test_a_full_disk_is_not_waited_for(lease, monkeypatch) -> None:
    monkeypatch.setattr(leased, "submit", breaking((DiskFullError, False)))

    with pytest.raises(DiskFullError):
        await lease.finish(factories.ending(text="done"))


# -- what is found -----------------------------------------------------------------------


def fate(standing: Standing, uid: Any = None) -> Standing | None:
    with TESTS:
        return queries.fate_of_unit(standing, uid)


@pytest.mark.django_db
def test_nothing_written_means_write_it_again(alice_principal) -> None:
    standing = factories.running(alice_principal)

    assert fate(standing, Draft(type=EventType.AGENT_THINKING).uid) is None


@pytest.mark.django_db
def test_phases_alone_prove_a_unit(alice_principal) -> None:
    standing = factories.claimed(alice_principal)
    now = timezone.now()

    after = factories.unit(
        standing, lambda: moves.enter_phase(standing, (Phase.CREATED, now))
    )

    found = fate(standing)

    assert found is not None
    assert found.phases == after.phases == 1


@pytest.mark.django_db
def test_what_the_sweeper_moved_is_lost(alice_principal) -> None:
    standing = factories.running(alice_principal)
    factories.unit(
        standing,
        lambda: actions.lose_lease(standing, now=timezone.now(), reason="test"),
    )

    with pytest.raises(LeaseLostError):
        fate(standing)


@pytest.mark.django_db
def test_what_another_runner_holds_is_lost(alice_principal) -> None:
    standing = factories.running(alice_principal)
    factories.unit(
        standing,
        lambda: actions.lose_lease(standing, now=timezone.now(), reason="test"),
    )
    factories.claim(factories.present(standing))

    with pytest.raises(LeaseLostError):
        fate(standing)


@pytest.mark.django_db
def test_its_own_move_is_found(alice_principal) -> None:
    standing = factories.claimed(alice_principal)
    now = timezone.now()
    factories.unit(
        standing,
        lambda: moves.move(standing, ExecutionState.RUNNING, actor=RUNNER, now=now),
    )

    found = fate(standing)

    assert found is not None
    assert (found.state, found.version) == (
        ExecutionState.RUNNING,
        standing.version + 1,
    )


@pytest.mark.django_db
def test_its_own_event_is_found(alice_principal) -> None:
    standing = factories.running(alice_principal)
    draft = Draft(type=EventType.AGENT_THINKING, payload=dict(THOUGHT))
    factories.unit(
        standing,
        lambda: journal.append(
            organisation_id=standing.organisation_id,
            stream_id=standing.stream_id,
            drafts=[draft],
            now=timezone.now(),
            execution_id=standing.id,
            attempt=1,
        ),
    )

    assert fate(standing, draft.uid) is not None
