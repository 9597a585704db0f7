"""Whole turns through the runner of this process: phases, events, ends, and how often they write."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from django.utils import timezone
from pydantic_ai.messages import ModelMessage
from pydantic_ai.models.function import AgentInfo, FunctionModel

from apps.agents import turns
from apps.audits.models import Receipt
from apps.chat import actions
from apps.chat.actions import Asked, Question
from apps.chat.models import Message
from apps.core import database, writer
from apps.core import units as committing
from apps.core.database import read, write
from apps.executions import endings
from apps.executions.events import StreamAdvanced, TextDelta
from apps.executions.journal import stream_topic
from apps.executions.leased import LeasedExecution
from apps.executions.models import Content, Event, Execution, PhaseEntry
from apps.executions.runner import Runner
from apps.executions.standing import Standing
from apps.executions.states import EventType, ExecutionState, Phase
from tests import factories
from tests.chat.questions import aside
from tests.factories import TESTS

pytestmark = [pytest.mark.golden_path, pytest.mark.integration]
GOLDEN = "".join(f"tok{n} " for n in range(20))
PATIENCE = 20.0
Ask = Callable[..., Any]


@pytest.fixture
async def at_work(committed, live_hub, monkeypatch) -> AsyncIterator[Runner]:
    """A runner of the test's own, on its loop."""
    runner = Runner()
    monkeypatch.setattr("apps.executions.receivers.runner", runner)
    await runner.start()
    yield runner
    await runner.stop(drain=0.1)


@pytest.fixture
def ask(at_work: Runner) -> Ask:
    async def ask_one(who, agent: str = "golden-turn", **values: Any) -> Asked:
        question = Question(text="hello", agent=agent, **values)
        unit = partial(
            actions.ask,
            principal=who,
            question=question,
            claim=at_work.claim_at_intake,
        )
        return await write(who.scope, unit)

    return ask_one


async def ended(asked: Asked) -> Execution:
    """The execution once it has ended."""

    def look() -> Execution | None:
        rows = Execution.objects.filter(id=asked.execution_id)
        found: Execution | None = rows.exclude(finished_at=None).first()
        return found

    async with asyncio.timeout(PATIENCE):
        while (row := await read(TESTS, look)) is None:  # noqa: ASYNC110 - rows do not ring
            await asyncio.sleep(0.01)
    return row


async def events_of(asked: Asked) -> list[Event]:
    def look() -> list[Event]:
        rows = Event.objects.filter(stream_id=asked.thread_id)
        return list(rows.order_by("seq"))

    return await read(TESTS, look)


# -- how a turn goes -----------------------------------------------------------------


async def test_a_golden_turn_goes_through_its_phases(ask, alice_principal):
    asked = await ask(alice_principal)
    row = await ended(asked)

    phases = await read(
        TESTS,
        lambda: list(
            PhaseEntry.objects.filter(execution_id=row.pk).values_list(
                "phase", flat=True
            )
        ),
    )
    assert (row.state, row.attempt, row.fence) == ("completed", 1, 1)
    assert phases == [
        "created",
        "websocket_setup",
        "context_validation",
        "starting",
        "thinking",
        "llm_interaction",
        "tool_execution",
        "llm_interaction",
        "result_processing",
        "completing",
        "completed",
    ]
    assert row.first_token_at is not None
    assert row.started_at <= row.first_token_at <= row.finished_at
    assert (row.model, row.input_tokens, row.cost_usd) == ("golden-turn", 0, 0)


async def test_a_golden_turn_takes_four_writes_at_most(
    ask, alice_principal, monkeypatch
):
    await ended(await ask(alice_principal))  # the first builds the agent
    units: list[str] = []
    write_in_pool, commit = database._Pools.write, committing.committing

    def counted(self: database._Pools, *given, **named):
        units.append("unit")
        return write_in_pool(self, *given, **named)

    def counted_commit(work):
        units.append("commit")
        return commit(work)

    monkeypatch.setattr(database._Pools, "write", counted)
    for module in (committing, writer):
        monkeypatch.setattr(module, "committing", counted_commit)
    await ended(await ask(alice_principal))

    assert 3 <= units.count("unit") <= 4
    assert 3 <= units.count("commit") <= 4


async def test_what_watchers_hear_is_what_is_stored(ask, live_hub, alice_principal):
    first = await ask(alice_principal)
    await ended(first)
    heard: list[object] = []
    topic = stream_topic(alice_principal.organisation_id, first.thread_id)
    live_hub.watch(topic, heard.append)

    asked = await ask(alice_principal, thread_id=first.thread_id)
    await ended(asked)
    await asyncio.sleep(0)  # what was posted with the end is told

    told = [
        e for hint in heard if isinstance(hint, StreamAdvanced) for e in hint.entries
    ]
    stored = [e for e in await events_of(asked) if e.seq >= asked.seq]
    assert [(e.seq, e.event_uid, e.type.value, e.payload) for e in told] == [
        (e.seq, e.event_uid, e.type, e.payload) for e in stored
    ]
    deltas = [hint for hint in heard if isinstance(hint, TextDelta)]
    assert "".join(delta.text for delta in deltas) == GOLDEN
    joined = 0
    for delta in deltas:
        assert delta.offset == joined
        joined += len(delta.text)


async def test_offsets_count_code_points(ask, live_hub, alice_principal, monkeypatch):
    pieces = ["𝔘", "𝔫", "é" * 300, "\ud83d", "\ude00", "\x00", "end"]
    _instead_of_the_model(monkeypatch, pieces)
    first = await ask(alice_principal, "golden-turn")
    await ended(first)
    heard: list[TextDelta] = []
    live_hub.watch(
        stream_topic(alice_principal.organisation_id, first.thread_id),
        lambda hint: heard.append(hint) if isinstance(hint, TextDelta) else None,
    )

    asked = await ask(alice_principal, "analyst", thread_id=first.thread_id)
    await ended(asked)

    text = ""
    for delta in heard:
        assert delta.offset == len(text)
        text += delta.text
    reply = await read(
        TESTS,
        lambda: Message.objects.get(execution_id=asked.execution_id, role="assistant"),
    )
    assert reply.text == text == "𝔘𝔫" + "é" * 300 + "😀\ufffdend"


def _instead_of_the_model(monkeypatch, pieces: list[str]) -> None:
    async def stream(
        messages: list[ModelMessage], info: AgentInfo
    ) -> AsyncIterator[str]:
        for piece in pieces:
            yield piece

    turns.agent_for.cache_clear()
    monkeypatch.setattr(
        turns, "_offline_model", lambda: FunctionModel(stream_function=stream)
    )


@pytest.fixture(autouse=True)
def agents_as_configured():
    yield
    turns.agent_for.cache_clear()


# -- how a turn fails ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("agent", "code", "text"),
    [
        ("failing-turn", "provider_error", "tok0 tok1 tok2 tok3 tok4 "),
        ("crashing-turn", "tool_failed", ""),
    ],
)
async def test_a_failure_is_explained_and_has_a_receipt(
    ask, alice_principal, agent: str, code: str, text: str
):
    asked = await ask(alice_principal, agent)
    row = await ended(asked)

    end = (await events_of(asked))[-1]
    receipt = await read(TESTS, lambda: Receipt.objects.get(id=row.receipt_id))
    content = await read(TESTS, lambda: Content.objects.get(execution_id=row.pk))
    assert (row.state, row.error_code) == ("failed", code)
    assert (end.type, end.final, end.payload["code"]) == ("agent_error", True, code)
    assert end.payload["receipt_id"] == str(receipt.pk)
    assert end.payload.get("text", "") == text == content.output
    assert (receipt.code, receipt.explanation) == (code, end.payload["message"])
    assert receipt.fix == end.payload["fix"]
    assert content.error_detail  # the cause, for support
    assert content.error_detail not in str(end.payload)


async def test_a_tool_that_crashes_is_told_before_the_end(ask, alice_principal):
    asked = await ask(alice_principal, "crashing-turn")
    await ended(asked)

    called = (await events_of(asked))[-2]
    assert (called.type, called.payload["status"]) == ("tool_completed", "error")
    assert "scripted tool" not in str(called.payload)


async def test_a_model_that_does_not_exist_is_explained(ask, alice_principal, settings):
    settings.NETRA_MODEL = "nosuch:model"
    turns.agent_for.cache_clear()
    row = await ended(await ask(alice_principal, "analyst"))

    assert (row.state, row.error_code) == ("failed", "unknown_model")


async def test_a_turn_that_takes_too_long_ends_with_what_it_said(
    ask, at_work, alice_principal, monkeypatch
):
    in_a_second = _with_timeout(actions._order, seconds=1)
    monkeypatch.setattr(actions, "_order", in_a_second)
    asked = await ask(alice_principal, "slow-turn")
    row = await ended(asked)

    end = (await events_of(asked))[-1]
    assert (row.state, end.type, end.payload["code"]) == (
        "timeout",
        "agent_error",
        "timeout",
    )
    assert end.payload["text"].startswith("tok0 tok1 ")


def _with_timeout(order: Callable, *, seconds: int) -> Callable:
    return lambda *args, **values: replace(
        order(*args, **values), timeout_seconds=seconds
    )


# -- how a turn is stopped ---------------------------------------------------------------


async def test_a_stop_is_obeyed_at_once_and_keeps_the_text(ask, alice_principal):
    asked = await ask(alice_principal, "slow-turn")
    who = alice_principal

    def stop() -> ExecutionState:
        row = Execution.objects.get(id=asked.execution_id)
        return endings.cancel(
            actor=who.actor, standing=Standing.of(row), reason="enough"
        )

    await asyncio.sleep(0.3)
    await write(who.scope, stop)
    async with asyncio.timeout(5):
        row = await ended(asked)

    end = (await events_of(asked))[-1]
    assert (row.state, end.type) == ("cancelled", "agent_cancelled")
    assert (end.payload["by"], end.payload["reason"]) == ("user", "enough")
    assert end.payload["text"].startswith("tok0 ")


async def test_a_runner_that_leaves_hands_back_what_it_had(
    ask, at_work, alice_principal
):
    asked = await ask(alice_principal, "hanging-turn")
    await asyncio.sleep(0.1)

    await at_work.stop(drain=0.01)

    row = await read(TESTS, lambda: Execution.objects.get(id=asked.execution_id))
    assert (row.state, row.attempt, row.lease_token) == ("pending", 2, None)
    assert (await events_of(asked))[-1].final is False


@pytest.mark.regression
@pytest.mark.parametrize("end", ["finish", "hand_back"])
async def test_a_stop_in_the_middle_of_a_write_does_not_lose_the_lease(
    committed, live_hub, alice_principal, monkeypatch, end: str
):
    standing = await aside(factories.claimed, alice_principal)
    lease = LeasedExecution(standing)
    written, answered = asyncio.Event(), asyncio.Event()

    async def slow_to_answer(scope, unit):
        result = await write(scope, unit)
        written.set()
        await answered.wait()
        return result

    def handed_over(scope, unit):
        return asyncio.ensure_future(slow_to_answer(scope, unit))

    monkeypatch.setattr("apps.executions.leased.submit", handed_over)
    announcing = asyncio.create_task(
        lease.announce(EventType.TOOL_EXECUTING, {"tool": "look"})
    )
    async with asyncio.timeout(10):
        await written.wait()  # committed, but the runner does not know yet
    announcing.cancel()
    await asyncio.sleep(0)
    answered.set()
    with pytest.raises(asyncio.CancelledError):
        await announcing

    assert lease.standing.state is ExecutionState.RUNNING
    if end == "finish":
        await lease.finish(factories.ending(ExecutionState.CANCELLED))
    else:
        await lease.hand_back()
    lease.close()
    row = await aside(factories.row, standing)
    assert row.state == ("cancelled" if end == "finish" else "pending")


@pytest.mark.regression
async def test_a_phase_on_its_way_to_the_database_counts(
    at_work, committed, live_hub, alice_principal
):
    claimed, _ = await write(
        alice_principal.scope,
        lambda: at_work.claim_here(
            factories.execution(alice_principal), now=timezone.now()
        ),
    )
    lease = LeasedExecution(claimed)
    listener = turns.TurnListener(lease)
    listener.begin()
    flushing = asyncio.create_task(lease.flush())
    await asyncio.sleep(0)  # the write is under way

    listener.request_began()

    assert lease.latest_phase is Phase.LLM_INTERACTION
    await flushing
    await lease.flush()
    assert lease.standing.phase is Phase.LLM_INTERACTION
    lease.close()
