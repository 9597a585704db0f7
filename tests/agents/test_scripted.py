"""The diagnostic scripts say what the documentation promises, and nothing else."""

from __future__ import annotations

import asyncio

import pytest

from apps.agents import scripted
from apps.agents.catalogue import AGENTS, AgentKind
from apps.agents.scripted import CallTool, Script, ScriptedProviderFailure, Step


async def said(script: Script, *, tool_returned: bool = False) -> list[Step]:
    return [step async for step in script(tool_returned)]


async def test_golden_calls_its_tool_and_then_says_twenty_words():
    assert await said(scripted.golden) == [CallTool("lookup", '{"q":"x"}')]
    words = await said(scripted.golden, tool_returned=True)
    assert words == [f"tok{n} " for n in range(20)]


async def test_slow_says_a_hundred_words_with_pauses(monkeypatch):
    pauses = []

    async def pause(seconds: float) -> None:
        pauses.append(seconds)

    monkeypatch.setattr(scripted.asyncio, "sleep", pause)

    assert await said(scripted.slow) == [f"tok{n} " for n in range(100)]
    assert pauses == [0.1] * 100


async def test_failing_breaks_off_after_five_words():
    words: list[Step] = []

    async def listen() -> None:
        async for step in scripted.failing(False):
            words.append(step)  # noqa: PERF401 - what came before the failure counts

    with pytest.raises(ScriptedProviderFailure):
        await listen()

    assert words == [f"tok{n} " for n in range(5)]


async def test_hanging_says_nothing_until_it_is_stopped():
    hanging = asyncio.create_task(said(scripted.hanging))
    done, _ = await asyncio.wait({hanging}, timeout=0.05)

    assert not done
    hanging.cancel()
    with pytest.raises(asyncio.CancelledError):
        await hanging


async def test_crashing_calls_a_tool_that_raises():
    assert await said(scripted.crashing) == [CallTool("crash", "{}")]
    with pytest.raises(RuntimeError):
        await scripted.crash()


async def test_the_tool_of_golden_answers():
    assert await scripted.lookup("x") == "result for x"


def test_every_diagnostic_agent_has_a_script_and_no_other_has():
    diagnostic = {p.name for p in AGENTS.values() if p.kind is AgentKind.DIAGNOSTIC}

    assert set(scripted.SCRIPTS) == diagnostic
