"""One call of a tool between its two events; for a tool with effects, through the step ledger.

Knows pydantic-ai's tools and no agent, no database, no Django.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import math
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache, partial
from typing import Any, Protocol

from pydantic_ai import ModelRetry, RunContext, Tool

from apps.agents.errors import ToolFailedError
from apps.core.errors import InvalidInputError
from apps.executions.contexts import UserExecutionContext

RESULT_BYTES = 8 * 1024  # of a tool's result in an event
RESULT_DEPTH = 32
KEPT_BYTES = 64 * 1024  # of a result that the step ledger keeps for a later attempt
IDEMPOTENCY_KEY = "idempotency_key"  # the argument that carries it


class Unknown(StrEnum):
    """What becomes of a step that an earlier attempt began and did not end."""

    RETRY = "retry"  # called again with the same idempotency key: its far end knows that key
    ASK = "ask"  # a person decides
    FAIL = "fail"  # the execution ends, and says so


class End(StrEnum):
    """How a call came out."""

    DONE = "done"
    REFUSED = "refused"  # the tool took no such input; nothing happened
    BROKEN = "broken"  # it raised; for a tool with effects nobody knows what happened


STATUS = {End.DONE: "ok", End.REFUSED: "error", End.BROKEN: "error"}


@dataclass(frozen=True, slots=True)
class ToolSpec:
    """A tool as the loop needs it. `function` takes the context first, or nothing but arguments.

    One with effects also takes the keyword `idempotency_key`, and is called alone.
    """

    name: str
    description: str
    schema: Mapping[str, object]
    function: Callable[..., Awaitable[object]]
    takes_context: bool = True
    effects: bool = False
    after_unknown: Unknown = Unknown.FAIL


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """A call that must not happen twice. Its key is the same in every attempt."""

    key: str
    tool: str
    arguments: Mapping[str, object]
    after_unknown: Unknown


@dataclass(frozen=True, slots=True)
class Settled:
    """The call needs not be made: the model gets this."""

    result: object


class Teller(Protocol):
    """Tells that one call begins and how it ended; may know that it needs not be made."""

    async def began(self) -> Settled | None: ...
    async def ended(self, end: End, result: object, ms: int) -> None: ...


class Ledger(Protocol):
    """Remembers over attempts what tools with effects did."""

    def step(self, effect: Effect) -> Teller: ...


class ToolListener(Protocol):
    """Who is told of calls."""

    async def tool_began(
        self, call_id: str, tool: str, arguments: Mapping[str, object]
    ) -> None: ...
    async def tool_ended(
        self, call_id: str, tool: str, status: str, result: object, ms: int
    ) -> None: ...


class Caller(Protocol):
    """For whom tools are called. `counts` numbers the equal calls with effects."""

    @property
    def context(self) -> UserExecutionContext: ...
    @property
    def listener(self) -> ToolListener: ...
    @property
    def ledger(self) -> Ledger | None: ...
    @property
    def counts(self) -> Counter[str]: ...


@dataclass(frozen=True, slots=True)
class Aloud:
    """Tells the listener, and keeps nothing."""

    listener: ToolListener
    call_id: str
    tool: str
    arguments: Mapping[str, object]

    async def began(self) -> Settled | None:
        await self.listener.tool_began(self.call_id, self.tool, self.arguments)
        return None

    async def ended(self, end: End, result: object, ms: int) -> None:
        told = shown(result)
        await self.listener.tool_ended(self.call_id, self.tool, STATUS[end], told, ms)


def tool_of(spec: ToolSpec) -> Tool[Any]:
    """The tool as pydantic-ai calls it."""
    return Tool.from_schema(
        partial(_call, spec),
        spec.name,
        spec.description,
        dict(spec.schema),
        takes_ctx=True,
        sequential=spec.effects,
    )


async def _call(spec: ToolSpec, ctx: RunContext[Any], /, **arguments: Any) -> object:
    caller: Caller = ctx.deps
    if not spec.effects:
        call_id = ctx.tool_call_id or "call"
        teller = Aloud(caller.listener, call_id, spec.name, arguments)
        return await _between(teller, spec, caller.context, arguments)
    effect = _counted(spec, caller, arguments)
    try:
        return await _with_effect(effect, spec, caller)
    except ModelRetry:
        # Nothing happened, so the next equal call is this step again, in every attempt.
        caller.counts[call_key(spec.name, arguments)] -= 1
        raise


async def _with_effect(effect: Effect, spec: ToolSpec, caller: Caller) -> object:
    idempotency_key = f"{caller.context.run_id}:{effect.key}"
    teller: Teller = (
        Aloud(caller.listener, effect.key, effect.tool, effect.arguments)
        if caller.ledger is None
        else caller.ledger.step(effect)
    )
    return await _between(
        teller, spec, caller.context, effect.arguments, idempotency_key
    )


async def _between(
    teller: Teller,
    spec: ToolSpec,
    context: UserExecutionContext,
    arguments: Mapping[str, object],
    idempotency_key: str | None = None,
) -> object:
    """Call one tool between its two events."""
    settled = await teller.began()
    if settled is not None:
        return settled.result
    started = time.perf_counter()

    def ms() -> int:
        return int((time.perf_counter() - started) * 1000)

    try:
        result = await _bound(spec, context, arguments, idempotency_key)
    except InvalidInputError as error:
        said = f"{error.message} {error.fix}"
        await teller.ended(End.REFUSED, {"error": said}, ms())
        raise ModelRetry(said) from error
    except Exception as error:
        await teller.ended(End.BROKEN, {"error": "The tool failed."}, ms())
        raise ToolFailedError(f"The tool {spec.name!r} failed.") from error
    await teller.ended(End.DONE, result, ms())
    return result


def _bound(
    spec: ToolSpec,
    context: UserExecutionContext,
    arguments: Mapping[str, object],
    idempotency_key: str | None,
) -> Awaitable[object]:
    """The call, not yet made; raises InvalidInputError for arguments the tool does not take."""
    first = (context,) if spec.takes_context else ()
    own = {} if idempotency_key is None else {IDEMPOTENCY_KEY: idempotency_key}
    try:
        _signature(spec.function).bind(*first, **arguments, **own)
    except TypeError as error:
        raise InvalidInputError(
            f"The tool {spec.name!r} cannot take these arguments: {error}.",
            fix="Call it with the arguments its schema names.",
        ) from error
    return spec.function(*first, **arguments, **own)


_signature = lru_cache(maxsize=128)(inspect.signature)


# -- the keys of steps ----------------------------------------------------------------


def call_key(tool: str, arguments: Mapping[str, object]) -> str:
    """The same for the same call: the tool and a digest of its arguments, however written."""
    text = json.dumps(arguments, sort_keys=True, separators=(",", ":"))
    return f"{tool}:{hashlib.sha256(text.encode()).hexdigest()[:32]}"


def _counted(spec: ToolSpec, caller: Caller, arguments: Mapping[str, object]) -> Effect:
    """The call as a step: the n-th equal one of this execution, whatever the attempt."""
    call = call_key(spec.name, arguments)
    caller.counts[call] += 1
    return Effect(
        key=f"{call}:{caller.counts[call]}",
        tool=spec.name,
        arguments=arguments,
        after_unknown=spec.after_unknown,
    )


# -- what an event, and the ledger, may carry --------------------------------------------


def shown(result: object) -> object:
    """A tool's result as an event may carry it: at most 8 KiB of JSON, else its size and beginning."""
    return _within(RESULT_BYTES, plain(result))


def shown_arguments(arguments: Mapping[str, object]) -> dict[str, object]:
    """A call's arguments as an event may carry them."""
    told = shown(dict(arguments))
    return told if isinstance(told, dict) else {}


def kept(result: object) -> object:
    """A result as the step ledger keeps it, for the model of a later attempt."""
    return _within(KEPT_BYTES, plain(result))


def _within(limit: int, result: object) -> object:
    text = json.dumps(result, ensure_ascii=False)
    if len(text) <= limit // 4:
        return result
    size = len(text.encode())
    if size <= limit:
        return result
    return {"too_long": True, "bytes": size, "beginning": text[:500]}


def plain(value: object, depth: int = 0) -> object:
    """`value` as JSON that every database takes: texts cleaned, whatever is odd as text."""
    if depth > RESULT_DEPTH:
        return "…"
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, Mapping):
        return {clean(str(k)): plain(v, depth + 1) for k, v in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item, depth + 1) for item in value]
    return clean(str(value))


def clean(text: str) -> str:
    """Text that can be stored and sent: without NUL and lone surrogates."""
    if text.isascii() and "\x00" not in text:
        return text
    return (
        text.replace("\x00", "�")
        .encode("utf-16", "surrogatepass")
        .decode("utf-16", "replace")
    )
