"""Exhibits: alive, real, and handled like any other execution."""

from __future__ import annotations

import asyncio
import uuid

import pytest
from asgiref.sync import sync_to_async
from django.utils import timezone

from apps.accounts.access import Principal
from apps.core.database import write_now
from apps.core.tenancy import system
from apps.executions import endings, queries, recovery
from apps.executions.models import Event, Execution
from apps.executions.runner import runner
from apps.executions.states import ExecutionState
from apps.ops.demo import exhibits

TESTS = system("tests")
HELD = {"pending", "starting", "running", "completing"}


def put_up(curator: Principal) -> int:
    return write_now(curator.scope, lambda: exhibits.put_up(curator, timezone.now()))


def held() -> dict[str, str]:
    """What each living exhibit should hold, and what it does."""
    with TESTS:
        rows = Execution.objects.filter(runner=exhibits.WORK, finished_at__isnull=True)
        return dict(rows.values_list("content__input__hold", "state"))


def test_they_hold_the_four_living_states_and_are_put_up_once(
    support_principal: Principal,
):
    assert put_up(support_principal) == 4
    assert held() == {state: state for state in HELD}

    assert put_up(support_principal) == 0


def test_one_that_was_stopped_is_put_up_again(support_principal: Principal):
    put_up(support_principal)
    with TESTS:
        row = Execution.objects.get(state=ExecutionState.PENDING)
        standing = queries.standing_of(row.pk)
    assert standing is not None
    write_now(
        support_principal.scope,
        lambda: endings.cancel(
            actor=support_principal.actor, standing=standing, reason="enough"
        ),
    )

    assert put_up(support_principal) == 1
    assert held() == {state: state for state in HELD}


def test_the_sweeper_leaves_fresh_ones_alone(support_principal: Principal):
    put_up(support_principal)

    assert recovery.sweep() == 0
    assert held() == {state: state for state in HELD}


@pytest.mark.live
@pytest.mark.mission_critical
async def test_a_starting_server_takes_them_over_and_a_stopping_one_hands_them_back(
    support_principal: Principal,
    committed: None,
    live_hub,
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(exhibits, "LOOK_SECONDS", 0.05)
    await sync_to_async(put_up)(support_principal)

    assert await sync_to_async(recovery.recover_orphans)(uuid.uuid4()) == 3
    assert await sync_to_async(held)() == dict.fromkeys(HELD, "pending")

    await runner.start()
    try:
        await until(lambda: held() == {state: state for state in HELD})
    finally:
        await asyncio.wait_for(runner.stop(), 5)  # less than it would drain

    assert await sync_to_async(held)() == dict.fromkeys(HELD, "pending")
    assert await sync_to_async(put_up)(support_principal) == 0
    assert await sync_to_async(gapless)()


def gapless() -> bool:
    with TESTS:
        streams = set(Event.objects.values_list("stream_id", flat=True))
        logs = [
            list(
                Event.objects.filter(stream_id=s)
                .order_by("seq")
                .values_list("seq", flat=True)
            )
            for s in streams
        ]
    return bool(logs) and all(log == list(range(1, len(log) + 1)) for log in logs)


async def until(claim) -> None:
    async with asyncio.timeout(10):
        while not await sync_to_async(claim)():  # noqa: ASYNC110 - rows ring no event here
            await asyncio.sleep(0.02)
