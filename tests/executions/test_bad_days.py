"""One bad row, one odd error, one crowd at the door: everybody else goes on, and every end is told."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from apps.core.actors import Actor
from apps.core.database import read, write
from apps.executions import (
    actions,
    concurrency,
    endings,
    moves,
    queries,
    recovery,
    runners,
)
from apps.executions.errors import LeaseLostError
from apps.executions.leased import LeasedExecution
from apps.executions.models import Attempt, Content, Execution, Transition
from apps.executions.runner import Runner
from apps.executions.runners import Outcome
from apps.executions.standing import Standing
from tests import factories
from tests.factories import TESTS
from tests.invariants import violations

pytestmark = [pytest.mark.integration, pytest.mark.mission_critical]
PATIENCE = 20.0
SECOND = timedelta(seconds=1)
Work = Callable[[LeasedExecution], Awaitable[Outcome]]


@pytest.fixture
async def at_work(committed, live_hub, monkeypatch) -> AsyncIterator[Runner]:
    runner = Runner()
    monkeypatch.setattr("apps.executions.receivers.runner", runner)
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
    return await asyncio.to_thread(lambda: factories.execution(who, **values))


async def until(standing: Standing, *states: str) -> Execution:
    """The row once it is in one of `states`."""

    def look() -> Execution | None:
        found: Execution | None = Execution.objects.filter(
            id=standing.id, state__in=states
        ).first()
        return found

    async with asyncio.timeout(PATIENCE):
        while (row := await read(TESTS, look)) is None:  # noqa: ASYNC110 - rows do not ring
            await asyncio.sleep(0.02)
    return row


def spoil(standing: Standing) -> None:
    """Make the next move of an execution impossible: its number is taken."""
    row = actions.transition_row(
        standing, "x", standing.state, standing.version + 1, recovery.SWEEPER,
        timezone.now(), "spoiled by a test",
    )  # fmt: skip
    factories.unit(standing, lambda: Transition.objects.create(**row))


# -- ends of odd work --------------------------------------------------------------------


async def test_work_that_cancels_itself_fails_and_is_not_begun_for_ever(
    at_work, work, alice_principal
):
    begun = []

    async def cancels_itself(lease: LeasedExecution) -> Outcome:
        begun.append(lease.standing.attempt)
        raise asyncio.CancelledError

    work(cancels_itself)
    row = await until(await queued(alice_principal), "failed", "timeout", "dead")

    assert (row.state, row.error_code, begun) == ("failed", "internal", [1])
    assert await read(TESTS, violations) == []


@pytest.fixture
def no_odd_words_in_reports(caplog) -> None:
    """What these tests log cannot be handed from one test process to another."""
    caplog.set_level(logging.CRITICAL + 1)


@pytest.mark.usefixtures("no_odd_words_in_reports")
@pytest.mark.parametrize(
    "odd", ["a NUL \x00 in it", "half a pair \ud800 in it"], ids=["nul", "half a pair"]
)
async def test_an_error_that_cannot_be_stored_as_it_is_is_told_all_the_same(
    odd, at_work, work, alice_principal
):
    async def fails_oddly(lease: LeasedExecution) -> Outcome:
        raise ValueError(odd)

    work(fails_oddly)
    row = await until(await queued(alice_principal), "failed")

    assert (row.attempt, row.error_code, row.error_class) == (1, "internal", "ValueError")  # fmt: skip
    kept = await read(TESTS, lambda: Content.objects.get(execution_id=row.id))
    assert kept.error_detail.endswith(" in it")
    assert await read(TESTS, violations) == []


@pytest.mark.usefixtures("no_odd_words_in_reports")
async def test_an_answer_that_cannot_be_stored_ends_as_a_failure_at_once(
    at_work, work, alice_principal
):
    async def answers_oddly(lease: LeasedExecution) -> Outcome:
        return Outcome(text="half a pair \ud800")

    work(answers_oddly)
    row = await until(await queued(alice_principal), "failed")

    assert (row.attempt, row.error_code) == (1, "internal")
    assert await read(TESTS, violations) == []


# -- one of many -------------------------------------------------------------------------


async def test_a_claim_that_fails_holds_up_nobody_else(
    committed, live_hub, work, alice_principal, monkeypatch
):
    async def answers(lease: LeasedExecution) -> Outcome:
        return Outcome(text="here")

    work(answers)
    runner = Runner()
    monkeypatch.setattr("apps.executions.receivers.runner", runner)
    spoiled = await queued(alice_principal)  # the oldest, so it is always the first
    open_claim = {"fence": 9, "number": 1, "owner": uuid.uuid4(), "claimed_at": timezone.now()}  # fmt: skip
    await write(
        TESTS, lambda: Attempt.objects.create(**moves.keys_of(spoiled), **open_claim)
    )
    well = await queued(alice_principal)

    await runner.start()
    try:
        assert (await until(well, "completed")).attempt == 1
    finally:
        await runner.stop(drain=1)


@pytest.mark.django_db
def test_a_row_that_cannot_be_moved_holds_up_no_other_recovery(
    alice_principal, bob_principal, mallory_principal
) -> None:
    now = timezone.now()
    people = (alice_principal, bob_principal, mallory_principal)
    lost = [factories.running(who, now=now, timeout_seconds=300) for who in people]
    spoil(lost[1])

    assert recovery.sweep(now + actions.LEASE + SECOND) == 2

    states = [factories.row(standing).state for standing in lost]
    assert states == ["pending", "running", "pending"]


@pytest.mark.django_db
def test_a_crowd_of_one_kind_leaves_a_sweep_time_for_the_others(
    alice_principal, monkeypatch
) -> None:
    monkeypatch.setattr(recovery, "AT_ONCE", 1)
    now = timezone.now()
    late = [factories.running(alice_principal, now=now, timeout_seconds=5) for _ in range(3)]  # fmt: skip
    lost = factories.running(alice_principal, now=now, timeout_seconds=300)
    later = now + actions.LEASE + SECOND

    assert recovery.sweep(later) <= 2  # one that is overdue, one whose lease is lost
    for _ in range(3):
        recovery.sweep(later)

    assert [factories.row(s).state for s in (*late, lost)] == ["timeout"] * 3 + ["pending"]  # fmt: skip
    assert recovery.sweep(later) == 0
    assert violations() == []


@pytest.mark.django_db
@pytest.mark.parametrize("reason", ["plan allows", "earlier question", "no agent was free"])  # fmt: skip
def test_who_could_not_start_is_told_why(reason, alice_principal) -> None:
    now = timezone.now()
    concurrency.forget()
    if reason == "plan allows":
        for _ in range(5):
            factories.claimed(alice_principal)
    behind = "predecessor" if reason == "earlier question" else ""
    standing = factories.execution(
        alice_principal, now=now - recovery.QUEUE_LIMIT - SECOND, waiting_for=behind
    )

    assert recovery.sweep(now) == 1

    with TESTS:
        (event,) = queries.events_of(standing.id)
    assert event.payload["code"] == "queue_timeout"
    assert reason in event.payload["message"]


async def test_more_questions_at_once_than_places_leave_the_rest_waiting(
    at_work, work, alice_principal
):
    async def hangs(lease: LeasedExecution) -> Outcome:
        await asyncio.Event().wait()
        raise AssertionError

    work(hangs)
    at_work.capacity = 2
    standings = [await queued(alice_principal, waiting_for="approval") for _ in range(5)]  # fmt: skip

    def ask(standing: Standing) -> None:
        now = timezone.now()
        Execution.objects.filter(id=standing.id).update(waiting_for="")
        at_work.claim_at_intake(actions.replace(standing, waiting_for=""), {}, now)

    await asyncio.gather(*(write(TESTS, lambda s=s: ask(s)) for s in standings))
    await asyncio.sleep(0.1)

    assert len(at_work.running) == 2
    assert at_work.free == 0


async def test_a_claim_that_is_under_way_when_the_process_stops_is_handed_back(
    committed, live_hub, work, alice_principal
):
    begun, go_on = threading.Event(), threading.Event()

    class SlowRunner(Runner):
        """Its database takes its time."""

        def _claim_one(self, standing: Standing) -> Standing | None:
            begun.set()
            go_on.wait(PATIENCE)
            return super()._claim_one(standing)

    async def hangs(lease: LeasedExecution) -> Outcome:
        await asyncio.Event().wait()
        raise AssertionError

    work(hangs)
    standing = await queued(alice_principal)
    runner = SlowRunner()
    await runner.start()
    await asyncio.to_thread(begun.wait, PATIENCE)
    asyncio.get_running_loop().call_later(0.2, go_on.set)
    await runner.stop(drain=0)

    row = await until(standing, "pending", "starting", "running")
    assert (row.state, row.lease_token) == ("pending", None)
    outcomes = await read(TESTS, lambda: [a.outcome for a in Attempt.objects.all()])
    assert outcomes == ["handed back"]


async def test_work_that_does_not_let_itself_be_stopped_does_not_stop_the_stopping(
    committed, live_hub, work, alice_principal, monkeypatch
):
    monkeypatch.setattr("apps.executions.runner.PART_SECONDS", 0.1)
    let_go = asyncio.Event()

    async def deaf(lease: LeasedExecution) -> Outcome:
        while not let_go.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await let_go.wait()
        raise LeaseLostError

    work(deaf)
    runner = Runner()
    standing = await queued(alice_principal)
    await runner.start()
    await until(standing, "starting")

    async with asyncio.timeout(PATIENCE):
        await runner.stop(drain=0)

    assert standing.id in runner.running  # its lease ends, and the sweep finds it
    let_go.set()
    async with asyncio.timeout(PATIENCE):
        while runner.running:  # noqa: ASYNC110 - it tells nobody
            await asyncio.sleep(0.02)


# -- stops that meet something else --------------------------------------------------------


@pytest.mark.django_db
def test_a_stop_that_met_another_attempt_ends_what_waits_for_it(
    alice_principal,
) -> None:
    now = timezone.now()
    standing = factories.running(alice_principal, now=now, timeout_seconds=300)
    factories.unit(standing, lambda: actions.request_cancel(
        actor=alice_principal.actor, standing=standing, reason="Enough.", now=now,
    ))  # fmt: skip
    factories.unit(standing, lambda: actions.try_again(
        standing, now=now, wait=timedelta(seconds=90), reason="a passing failure",
    ))  # fmt: skip

    assert recovery.sweep(now + SECOND) == 1

    row = factories.row(standing)
    assert (row.state, row.cancel_reason) == ("cancelled", "Enough.")
    assert violations() == []


@pytest.mark.django_db
def test_what_was_said_before_a_runner_was_lost_survives_a_stop(
    alice_principal,
) -> None:
    now = timezone.now()
    standing = factories.running(alice_principal, now=now, timeout_seconds=300)
    factories.unit(standing, lambda: actions.checkpoint(
        standing, text="as far as it came", first_token_at=now, now=now,
    ))  # fmt: skip
    recovery.sweep(now + actions.LEASE + SECOND)
    waiting = factories.present(standing)

    factories.unit(waiting, lambda: endings.cancel(
        actor=Actor.user(alice_principal.user_id, "alice"), standing=waiting, reason="",
    ))  # fmt: skip

    with TESTS:
        kept = Content.objects.get(execution_id=standing.id)
    assert (factories.row(standing).state, kept.output) == ("cancelled", "as far as it came")  # fmt: skip
    assert violations() == []
