"""The scripted models of the diagnostic agents: no thought, no network, known text. Pure."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

SLOW_TOKENS = 100
SLOW_SECONDS = 0.1
GOLDEN_TOKENS = 20
FAILING_TOKENS = 5


@dataclass(frozen=True, slots=True)
class CallTool:
    """The scripted model wants this tool called."""

    name: str
    arguments: str


class ScriptedProviderFailure(Exception):  # noqa: N818 - what a script does, not what we catch by name
    """The script plays a provider that breaks off."""


Step = str | CallTool
Script = Callable[
    [bool], AsyncIterator[Step]
]  # called with: has the tool returned already?


async def golden(tool_returned: bool) -> AsyncIterator[Step]:  # noqa: FBT001 - the model's one fact
    if not tool_returned:
        yield CallTool("lookup", '{"q":"x"}')
        return
    for n in range(GOLDEN_TOKENS):
        yield f"tok{n} "


async def slow(tool_returned: bool) -> AsyncIterator[Step]:  # noqa: ARG001, FBT001 - see Script
    for n in range(SLOW_TOKENS):
        await asyncio.sleep(SLOW_SECONDS)
        yield f"tok{n} "


async def failing(tool_returned: bool) -> AsyncIterator[Step]:  # noqa: ARG001, FBT001 - see Script
    for n in range(FAILING_TOKENS):
        yield f"tok{n} "
    raise ScriptedProviderFailure("the scripted provider broke off")


async def hanging(tool_returned: bool) -> AsyncIterator[Step]:  # noqa: ARG001, FBT001 - see Script
    await asyncio.Event().wait()  # until the execution's deadline or a stop
    yield ""


async def crashing(tool_returned: bool) -> AsyncIterator[Step]:  # noqa: ARG001, FBT001 - see Script
    yield CallTool("crash", "{}")


SCRIPTS: dict[str, Script] = {
    "golden-turn": golden,
    "slow-turn": slow,
    "failing-turn": failing,
    "hanging-turn": hanging,
    "crashing-turn": crashing,
}


async def lookup(q: str) -> str:
    """The tool of golden-turn."""
    return f"result for {q}"


async def crash() -> str:
    """The tool of crashing-turn."""
    raise RuntimeError("the scripted tool crashed")
