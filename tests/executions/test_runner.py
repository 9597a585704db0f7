"""The runner: tries again after passing failures, fences itself, notes what it may no longer write."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from apps.core.database import read, write
from apps.core.errors import NetraError
from apps.core.flags import Switch
from apps.executions import actions, outcomes, runners
from apps.executions import runner as module
from apps.executions.leased import LeasedExecution
from apps.executions.models import Attempt, Execution, RefusedMove, Transition
from apps.executions.runner import Runner
from apps.executions.runners import Outcome
from apps.executions.standing import Standing
from tests import factories
from tests.factories import TESTS
from tests.invariants import violations

pytestmark = [pytest.mark.integration, pytest.mark.mission_critical]
PATIENCE = 20.0
Work = Callable[[LeasedExecution], Awaitable[Outcome]]


class AwayError(NetraError):
    """The provider is away just now."""

    code = "provider_away"
    retryable = True
    transient = True


@pytest.fixture
async def at_work(committed, live_hub, monkeypatch) -> AsyncIterator[Runner]:
    runner = Runner()
    monkeypatch.setattr("apps.executions.receivers.runner", runner)
    monkeypatch.setattr(outcomes, "BACK_OFF_SECONDS", 0.05)
    await runner.start()
    yield runner
    await runner.stop(drain=0.1)


@pytest.fixture
def work(monkeypatch) -> Callable[[Work], None]:
    """Let the registered work be a function of the test's."""

    def use(function: Work) -> None:
        monkeypatch.setattr(runners, "resolve", lambda _: function)

    return use


async def queued(who, **values: Any) -> Standing:
    return await read_write(lambda: factories.execution(who, **values))


async def read_write(make: Callable[[], Standing]) -> Standing:
    return await asyncio.to_thread(make)


async def until(standing: Standing, *states: str) -> Execution:
    """The row once it is in one of `states`."""

    def look() -> Execution | None:
        rows = Execution.objects.filter(id=standing.id, state__in=states)
        found: Execution | None = rows.first()
        return found

    async with asyncio.timeout(PATIENCE):
        while (row := await read(TESTS, look)) is None:  # noqa: ASYNC110 - rows do not ring
            await asyncio.sleep(0.02)
    return row


async def all_of(model: Any, standing: Standing) -> list[Any]:
    return await read(
        TESTS, lambda: list(model.objects.filter(execution_id=standing.id))
    )


# -- passing failures ------------------------------------------------------------------


async def test_a_passing_failure_is_tried_again_and_the_answer_comes(
    at_work, work, alice_principal
):
    tries = []

    async def works_the_third_time(lease: LeasedExecution) -> Outcome:
        tries.append(lease.standing.attempt)
        if len(tries) < 3:
            raise AwayError
        return Outcome(text="here")

    work(works_the_third_time)
    standing = await queued(alice_principal)
    row = await until(standing, "completed", "failed")

    assert (row.state, row.attempt, tries) == ("completed", 3, [1, 2, 3])
    attempts = await all_of(Attempt, standing)
    assert [a.outcome for a in attempts] == [
        "failed, to be tried again",
        "failed, to be tried again",
        "completed",
    ]
    assert await read(TESTS, violations) == []


async def test_after_the_last_attempt_the_failure_is_told(
    at_work, work, alice_principal
):
    async def never(lease: LeasedExecution) -> Outcome:
        raise AwayError

    work(never)
    row = await until(await queued(alice_principal, max_attempts=2), "failed")

    assert (row.attempt, row.error_code) == (2, "provider_away")
    assert await read(TESTS, violations) == []


async def test_what_was_said_is_not_said_again(at_work, work, alice_principal):
    async def breaks_off(lease: LeasedExecution) -> Outcome:
        lease.say("half an ")
        raise AwayError

    work(breaks_off)
    row = await until(await queued(alice_principal), "failed")

    assert row.attempt == 1


@pytest.mark.parametrize("seconds", [30, 3600])
async def test_a_providers_wish_for_time_is_obeyed_where_there_is_time(
    seconds, at_work, work, alice_principal
):
    async def asks_for_time(lease: LeasedExecution) -> Outcome:
        raise AwayError(retry_after=seconds)

    work(asks_for_time)
    standing = await queued(alice_principal, timeout_seconds=60)
    row = await until(standing, *(["pending"] if seconds == 30 else ["failed"]))
    async with asyncio.timeout(PATIENCE):
        while row.attempt == 1 and seconds == 30:
            row = await until(standing, "pending")

    if seconds == 30:
        wait = row.available_at - timezone.now()
        assert timedelta(seconds=20) < wait <= timedelta(seconds=30)


async def test_retries_can_be_switched_off(at_work, work, alice_principal, monkeypatch):
    monkeypatch.setattr(outcomes, "enabled", lambda s, *_: s is not Switch.RETRIES)

    async def never(lease: LeasedExecution) -> Outcome:
        raise AwayError

    work(never)
    row = await until(await queued(alice_principal), "failed")

    assert row.attempt == 1


def test_the_back_off_doubles_up_to_its_most() -> None:
    def seconds(attempt: int, asked: float = 0.0) -> float:
        return outcomes.back_off(attempt, asked)

    assert [seconds(n) for n in (1, 2, 3, 4, 9)] == [1.0, 2.0, 4.0, 5.0, 5.0]
    assert seconds(1, asked=7.5) == 7.5


# -- the self-fence --------------------------------------------------------------------


async def hang(lease: LeasedExecution) -> Outcome:
    lease.think("for ever", step=1)
    await asyncio.Event().wait()
    raise AssertionError


async def test_who_cannot_renew_stops_before_others_take_over(
    at_work, work, alice_principal
):
    work(hang)
    standing = await queued(alice_principal)
    await until(standing, "running")
    lease = at_work.running[standing.id]
    lease.renewed_at -= module.FENCE_SECONDS + 1

    async with asyncio.timeout(PATIENCE):
        while standing.id in at_work.running:  # noqa: ASYNC110 - it tells nobody
            await asyncio.sleep(0.05)

    row = await until(standing, "running")  # nothing was written: the sweep decides
    assert at_work.self_fenced == 1
    assert lease.lost
    assert row.lease_expires_at > timezone.now()


async def test_who_renews_goes_on(at_work, work, alice_principal):
    work(hang)
    standing = await queued(alice_principal)
    await until(standing, "running")
    lease = at_work.running[standing.id]
    lease.renewed_at -= module.FENCE_SECONDS / 2
    before = lease.renewed_at

    await at_work._beat()
    await at_work._fence_self()

    assert lease.renewed_at > before
    assert standing.id in at_work.running
    assert at_work.self_fenced == 0


async def test_the_self_fence_can_be_switched_off(
    at_work, work, alice_principal, monkeypatch
):
    monkeypatch.setattr(module, "enabled", lambda s, *_: s is not Switch.SELF_FENCE)
    work(hang)
    standing = await queued(alice_principal)
    await until(standing, "running")
    at_work.running[standing.id].renewed_at -= module.FENCE_SECONDS + 1

    await at_work._fence_self()

    assert not at_work.running[standing.id].lost


def test_the_fence_leaves_a_third_of_the_lease() -> None:
    lease = actions.LEASE.total_seconds()

    assert lease / 3 == module.BEAT_SECONDS
    assert 0 < module.FENCE_SECONDS <= lease * 2 / 3


# -- what may no longer be written -------------------------------------------------------


async def test_a_late_end_is_refused_and_noted_once(at_work, work, alice_principal):
    taken = asyncio.Event()

    async def until_taken(lease: LeasedExecution) -> Outcome:
        lease.think("working", step=1)
        await taken.wait()
        return Outcome(text="too late")

    work(until_taken)
    standing = await queued(alice_principal)
    await until(standing, "running")
    present = at_work.running[standing.id].standing
    at_work.capacity = 0  # whoever takes it next is somebody else
    now = timezone.now()
    await write(
        TESTS, lambda: actions.lose_lease(present, now=now, reason="a test took it")
    )
    taken.set()
    async with asyncio.timeout(PATIENCE):
        while not await all_of(RefusedMove, standing):  # noqa: ASYNC110 - see above
            await asyncio.sleep(0.02)

    (refused,) = await all_of(RefusedMove, standing)
    assert (refused.from_state, refused.to_state, refused.why) == (
        "running",
        "completed",
        "fenced",
    )
    moves = await all_of(Transition, standing)
    assert [m.to_state for m in moves] == ["pending", "starting", "running", "pending"]
    assert await read(TESTS, violations) == []
