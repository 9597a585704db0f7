"""The scripted models of the diagnostic agents: no thought, no network, known text. Pure."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

from apps.core.errors import InvalidInputError

SLOW_TOKENS = 100
SLOW_SECONDS = 0.1
GOLDEN_TOKENS = 20
FAILING_TOKENS = 5
NOTE_POLICIES = ("ask", "retry", "fail")
NOTE_CHARACTERS = 200
NOTES_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class CallTool:
    """The scripted model wants this tool called."""

    name: str
    arguments: str


class ScriptedProviderFailure(Exception):  # noqa: N818 - what a script does, not what we catch by name
    """The script plays a provider that breaks off."""


Step = str | CallTool
# Called with: has the tool returned already? And what was asked?
Script = Callable[[bool, str], AsyncIterator[Step]]


async def golden(tool_returned: bool, *_: object) -> AsyncIterator[Step]:  # noqa: FBT001 - the model's one fact
    if not tool_returned:
        yield CallTool("lookup", '{"q":"x"}')
        return
    for n in range(GOLDEN_TOKENS):
        yield f"tok{n} "


async def slow(*_: object) -> AsyncIterator[Step]:
    for n in range(SLOW_TOKENS):
        await asyncio.sleep(SLOW_SECONDS)
        yield f"tok{n} "


async def failing(*_: object) -> AsyncIterator[Step]:
    for n in range(FAILING_TOKENS):
        yield f"tok{n} "
    raise ScriptedProviderFailure("the scripted provider broke off")


async def hanging(*_: object) -> AsyncIterator[Step]:
    await asyncio.Event().wait()  # until the execution's deadline or a stop
    yield ""


async def crashing(*_: object) -> AsyncIterator[Step]:
    yield CallTool("crash", "{}")


async def effect(tool_returned: bool, question: str) -> AsyncIterator[Step]:  # noqa: FBT001 - see golden
    if not tool_returned:
        words = set(question.lower().split())
        policy = next((p for p in NOTE_POLICIES if p in words), NOTE_POLICIES[-1])
        arguments = json.dumps({"text": question[:NOTE_CHARACTERS]})
        yield CallTool(note_tool(policy), arguments)
        return
    yield "The tool has answered."


SCRIPTS: dict[str, Script] = {
    "golden-turn": golden,
    "slow-turn": slow,
    "failing-turn": failing,
    "hanging-turn": hanging,
    "crashing-turn": crashing,
    "effect-turn": effect,
}


async def lookup(q: str) -> str:
    """The tool of golden-turn."""
    return f"result for {q}"


async def crash() -> str:
    """The tool of crashing-turn."""
    raise RuntimeError("the scripted tool crashed")


def note_tool(policy: str) -> str:
    """The name of effect-turn's tool with that policy."""
    return f"note_{policy}"


async def note(path: Path, *, text: str, idempotency_key: str) -> str:
    """The tool of effect-turn: one line more in `path` for each time it was really called."""
    await asyncio.to_thread(_append, path, f"{idempotency_key}\n".encode())
    return f"noted {len(text)} characters"


def _append(path: Path, line: bytes) -> None:
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        if os.fstat(file).st_size + len(line) > NOTES_BYTES:
            raise InvalidInputError(
                "The file of notes is full.", fix="Tell support; nothing was noted."
            )
        os.write(file, line)
        os.fsync(file)
    finally:
        os.close(file)
