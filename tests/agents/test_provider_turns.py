"""Whole turns against a provider that fails: attempts, the breaker, what stays in the rows (F22)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from functools import partial
from typing import Any

import pytest

from apps.audits.models import Receipt
from apps.chat import actions
from apps.chat.actions import Asked, Question
from apps.core.clock import clock
from apps.core.database import read, write
from apps.core.flags import Switch
from apps.executions import breakers, outcomes
from apps.executions.breakers import Breakers
from apps.executions.models import Breaker, Content, Execution, PhaseEntry, Transition
from apps.executions.runner import Runner
from tests.agents.provider import Mode
from tests.factories import TESTS
from tests.switches import off

MODEL = "openai-chat:fake-1"
KEY = "openai:fake-1"
PATIENCE = 20.0
Ask = Callable[..., Any]


@pytest.fixture
async def at_work(
    committed, live_hub, monkeypatch, settings, fake
) -> AsyncIterator[Runner]:
    """A runner whose analyst asks the fake provider."""
    settings.NETRA_MODEL = MODEL
    runner = Runner()
    monkeypatch.setattr("apps.executions.receivers.runner", runner)
    monkeypatch.setattr(breakers, "breakers", Breakers())
    monkeypatch.setattr(outcomes, "BACK_OFF_SECONDS", 0.01)
    await runner.start()
    hinting = asyncio.create_task(_hint(runner))  # so that back-offs are not polled for
    yield runner
    hinting.cancel()
    await runner.stop(drain=0.1)


async def _hint(runner: Runner) -> None:
    while True:
        runner.hint()
        await asyncio.sleep(0.02)


@pytest.fixture
def ask(at_work: Runner) -> Ask:
    async def ask_one(who) -> Asked:
        question = Question(text="hello", agent="analyst")
        return await write(
            who.scope,
            partial(
                actions.ask,
                principal=who,
                question=question,
                claim=at_work.claim_at_intake,
            ),
        )

    return ask_one


async def ended(asked: Asked) -> Execution:
    def look() -> Execution | None:
        rows = Execution.objects.filter(id=asked.execution_id)
        found: Execution | None = rows.exclude(finished_at=None).first()
        return found

    async with asyncio.timeout(PATIENCE):
        while (row := await read(TESTS, look)) is None:  # noqa: ASYNC110 - rows do not ring
            await asyncio.sleep(0.01)
    return row


async def phases_of(row: Execution) -> list[str]:
    def look() -> list[str]:
        rows = PhaseEntry.objects.filter(execution_id=row.pk, fence=row.fence)
        return list(rows.order_by("n").values_list("phase", flat=True))

    return await read(TESTS, look)


async def test_a_broken_provider_is_tried_by_policy_then_left_alone(
    ask, fake, alice_principal, mallory_principal
):
    fake.mode = Mode.BROKEN
    opener = await ended(await ask(alice_principal))
    refused = await ended(await ask(mallory_principal))  # of another organisation

    assert (opener.state, opener.error_code) == ("failed", "provider_error")
    assert (opener.attempt, opener.breaker) == (3, KEY)
    assert (refused.state, refused.error_code) == ("failed", "circuit_breaker_open")
    assert (refused.attempt, refused.breaker) == (1, KEY)
    assert (await phases_of(refused))[-2:] == [
        "llm_interaction",
        "circuit_breaker_open",
    ]
    assert fake.calls == 3
    receipt = await read(TESTS, lambda: Receipt.objects.get(id=refused.receipt_id))
    assert 0 < receipt.values["retry_after"] <= 33
    assert f"{receipt.values['retry_after']} s" in receipt.explanation
    assert (await read(TESTS, Breaker.objects.get)).trips == 1


async def test_an_answer_that_comes_at_the_second_attempt_is_an_answer(
    ask, fake, alice_principal, monkeypatch
):
    answer = fake._answer

    async def at_second(request):
        fake.mode = Mode.BROKEN if fake.calls == 1 else Mode.OK
        return await answer(request)

    monkeypatch.setattr(fake, "_answer", at_second)

    row = await ended(await ask(alice_principal))

    assert (row.state, row.attempt, row.breaker) == ("completed", 2, "")
    assert (await read(TESTS, Breaker.objects.get)).failures == 0


async def test_a_busy_provider_is_asked_again_when_it_said(
    ask, fake, alice_principal, monkeypatch
):
    fake.mode, fake.retry_after = Mode.BUSY, "1"
    asked = await ask(alice_principal)
    async with asyncio.timeout(PATIENCE):
        while not fake.calls:  # noqa: ASYNC110 - the provider's counter does not ring
            await asyncio.sleep(0.01)
    fake.mode = Mode.OK

    row = await ended(asked)

    moves = await read(
        TESTS,
        lambda: list(
            Transition.objects.filter(execution_id=row.pk, to_state="starting")
            .order_by("n")
            .values_list("at", flat=True)
        ),
    )
    assert (row.state, row.attempt, fake.calls) == ("completed", 2, 2)
    assert moves[1] - moves[0] >= timedelta(seconds=1)
    breaker = await read(TESTS, Breaker.objects.get)
    assert (breaker.state, breaker.trips, breaker.failures) == ("closed", 0, 0)


async def test_a_provider_that_hangs_ends_in_words_before_the_deadline(
    ask, fake, alice_principal
):
    fake.mode = Mode.HANG
    row = await ended(await ask(alice_principal))

    assert (row.state, row.error_code) == ("failed", "provider_timeout")
    assert row.finished_at < row.deadline_at


async def test_an_answer_that_breaks_off_is_kept_and_not_begun_anew(
    ask, fake, alice_principal
):
    fake.mode = Mode.CUT
    row = await ended(await ask(alice_principal))

    content = await read(TESTS, lambda: Content.objects.get(execution_id=row.pk))
    assert (row.state, row.error_code, row.attempt) == ("failed", "provider_error", 1)
    assert (content.output, fake.calls) == ("It is ", 1)
    assert (await read(TESTS, Breaker.objects.get)).failures == 1


async def test_when_the_time_is_up_one_question_tries_the_provider(
    ask, fake, alice_principal, mallory_principal, monkeypatch
):
    fake.mode = Mode.BROKEN
    await ended(await ask(alice_principal))
    monkeypatch.setattr(
        breakers.breakers, "_now", lambda: clock.now() + timedelta(seconds=40)
    )
    fake.mode, fake.calls, fake.most_at_once = Mode.SLOW, 0, 0

    rows = await asyncio.gather(
        *[ended(await ask(who)) for who in [alice_principal, mallory_principal] * 3]
    )

    codes = sorted(row.error_code for row in rows)
    assert codes == [""] + ["circuit_breaker_open"] * 5
    assert (fake.calls, fake.most_at_once) == (1, 1)


async def test_switched_off_every_question_reaches_the_provider(
    ask, fake, alice_principal
):
    fake.mode = Mode.BROKEN
    with off(Switch.BREAKERS):
        rows = [await ended(await ask(alice_principal)) for _ in range(2)]

    assert [row.error_code for row in rows] == ["provider_error"] * 2
    assert fake.calls == 6
    assert await read(TESTS, Breaker.objects.count) == 0
