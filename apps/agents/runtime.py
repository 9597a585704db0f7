"""The agent loop over pydantic-ai: a question in, tool calls and text out, through a listener.

Imported only by workers (it is slow to load). Knows no database and no Django.
"""

from __future__ import annotations

import inspect
import json
import math
import time
from collections.abc import AsyncIterable, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import Any, Protocol

from pydantic_ai import Agent, ModelRetry, RunContext, Tool
from pydantic_ai.exceptions import (
    AgentRunError,
    ModelAPIError,
    ModelRateLimitError,
    ModelRequestRejectedError,
    UnexpectedModelBehavior,
    UserError,
)
from pydantic_ai.messages import (
    AgentStreamEvent,
    ModelMessage,
    ModelRequest,
    ModelResponse,
    PartDeltaEvent,
    PartStartEvent,
    TextPart,
    TextPartDelta,
    UserPromptPart,
)
from pydantic_ai.models import Model, infer_model
from pydantic_ai.usage import UsageLimits

from apps.agents.errors import (
    ModelMisbehavedError,
    ProviderError,
    ProviderRateLimitError,
    ProviderRefusedError,
    ToolFailedError,
    UnknownModelError,
)
from apps.agents.scripted import ScriptedProviderFailure
from apps.core.errors import InvalidInputError, NetraError
from apps.executions.contexts import UserExecutionContext

REQUEST_LIMIT = 12  # model requests in one turn
RESULT_BYTES = 8 * 1024  # of a tool's result in an event
RESULT_DEPTH = 32
PARAGRAPH = "\n\n"


class Listener(Protocol):
    """Who is told what the agent does."""

    def say(self, text: str) -> None: ...
    def request_began(self) -> None: ...
    async def tool_began(
        self, call_id: str, tool: str, arguments: Mapping[str, object]
    ) -> None: ...
    async def tool_ended(
        self, call_id: str, tool: str, status: str, result: object, ms: int
    ) -> None: ...


class Voice:
    """The model's text on its way to the listener: the pieces join to exactly `said`."""

    def __init__(self) -> None:
        self.said = ""
        self._half = ""  # a high surrogate whose other half comes with the next piece

    def begin(self, listener: Listener) -> None:
        """A new part of text begins; what was said before a tool call stays, as a paragraph."""
        if self.said:
            self.add(PARAGRAPH, listener)

    def add(self, piece: str, listener: Listener) -> None:
        piece, self._half = self._half + piece, ""
        if "\ud800" <= piece[-1:] <= "\udbff":
            piece, self._half = piece[:-1], piece[-1]
        self._say(piece, listener)

    def end(self, listener: Listener) -> None:
        half, self._half = self._half, ""
        self._say(half, listener)

    def _say(self, piece: str, listener: Listener) -> None:
        if piece:
            piece = clean(piece)
            self.said += piece
            listener.say(piece)


@dataclass(frozen=True, slots=True)
class Situation:
    """What tools get: for whom they work, and who listens."""

    context: UserExecutionContext
    listener: Listener
    voice: Voice = field(default_factory=Voice)


@dataclass(frozen=True, slots=True)
class ToolSpec:
    """A tool as the loop needs it. `function` takes the context first, or nothing but arguments."""

    name: str
    description: str
    schema: Mapping[str, object]
    function: Callable[..., Awaitable[object]]
    takes_context: bool = True


@dataclass(frozen=True, slots=True)
class Answer:
    """The whole text and what it took."""

    text: str
    model: str
    input_tokens: int
    output_tokens: int
    cached_tokens: int


def build(
    model: Model | str, instructions: str, tools: Sequence[ToolSpec]
) -> Agent[Situation, str]:
    """One reusable agent; raises UnknownModelError for a name that pydantic-ai does not know."""
    try:
        chosen = model if isinstance(model, Model) else infer_model(model)
    except (UserError, ValueError, ImportError) as error:
        raise UnknownModelError(
            f"The model {model!r} cannot be used: {error}"
        ) from error
    return Agent(
        chosen,
        deps_type=Situation,
        instructions=instructions or None,
        tools=[_tool(spec) for spec in tools],
        retries=2,
    )


async def run(
    agent: Agent[Situation, str],
    *,
    question: str,
    history: Sequence[Mapping[str, str]],
    situation: Situation,
) -> Answer:
    """Run one turn to its end; raises a NetraError that says what failed."""
    try:
        result = await agent.run(
            question,
            message_history=[_message(said) for said in history],
            deps=situation,
            usage_limits=UsageLimits(request_limit=REQUEST_LIMIT),
            event_stream_handler=_hear,
        )
    except NetraError:
        raise
    except ScriptedProviderFailure as error:
        raise ProviderError(
            "The model's provider broke off in the middle of the answer."
        ) from error
    except AgentRunError as error:
        raise _explained(error) from error
    usage = result.usage
    response = result.response
    return Answer(
        text=situation.voice.said or clean(result.output),
        model=response.model_name or "",
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        cached_tokens=usage.cache_read_tokens,
    )


def clean(text: str) -> str:
    """Text that can be stored and sent: without NUL and lone surrogates."""
    if text.isascii() and "\x00" not in text:
        return text
    return (
        text.replace("\x00", "�")
        .encode("utf-16", "surrogatepass")
        .decode("utf-16", "replace")
    )


async def _hear(
    ctx: RunContext[Situation], events: AsyncIterable[AgentStreamEvent]
) -> None:
    listener, voice = ctx.deps.listener, ctx.deps.voice
    fresh = True
    async for event in events:
        if fresh and isinstance(event, PartStartEvent | PartDeltaEvent):
            listener.request_began()
            fresh = False
        if isinstance(event, PartDeltaEvent):
            if isinstance(event.delta, TextPartDelta):
                voice.add(event.delta.content_delta, listener)
        elif isinstance(event, PartStartEvent) and isinstance(event.part, TextPart):
            voice.begin(listener)
            voice.add(event.part.content, listener)
    voice.end(listener)


def _tool(spec: ToolSpec) -> Tool[Situation]:
    return Tool.from_schema(
        partial(_call, spec),
        spec.name,
        spec.description,
        dict(spec.schema),
        takes_ctx=True,
    )


async def _call(spec: ToolSpec, ctx: RunContext[Situation], **arguments: Any) -> object:
    """Call one tool between its two events."""
    listener, call_id = ctx.deps.listener, ctx.tool_call_id or "call"
    await listener.tool_began(call_id, spec.name, arguments)
    started = time.perf_counter()

    def ms() -> int:
        return int((time.perf_counter() - started) * 1000)

    try:
        result = await _bound(spec, ctx.deps.context, arguments)
    except InvalidInputError as error:
        said = f"{error.message} {error.fix}"
        problem = shown({"error": said})
        await listener.tool_ended(call_id, spec.name, "error", problem, ms())
        raise ModelRetry(said) from error
    except Exception as error:
        await listener.tool_ended(
            call_id, spec.name, "error", {"error": "The tool failed."}, ms()
        )
        raise ToolFailedError(f"The tool {spec.name!r} failed.") from error
    await listener.tool_ended(call_id, spec.name, "ok", shown(result), ms())
    return result


def _bound(
    spec: ToolSpec, context: UserExecutionContext, arguments: Mapping[str, object]
) -> Awaitable[object]:
    """The call, not yet made; raises InvalidInputError for arguments the tool does not take."""
    first = (context,) if spec.takes_context else ()
    try:
        _signature(spec.function).bind(*first, **arguments)
    except TypeError as error:
        raise InvalidInputError(
            f"The tool {spec.name!r} cannot take these arguments: {error}.",
            fix="Call it with the arguments its schema names.",
        ) from error
    return spec.function(*first, **arguments)


_signature = lru_cache(maxsize=128)(inspect.signature)


def shown(result: object) -> object:
    """A tool's result as an event may carry it: at most 8 KiB of JSON, else its size and beginning."""
    result = plain(result)
    text = json.dumps(result, ensure_ascii=False)
    if len(text) <= RESULT_BYTES // 4:
        return result
    size = len(text.encode())
    if size <= RESULT_BYTES:
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


def _message(said: Mapping[str, str]) -> ModelMessage:
    if said["role"] == "user":
        return ModelRequest(parts=[UserPromptPart(content=said["text"])])
    return ModelResponse(parts=[TextPart(content=said["text"])])


def _explained(error: AgentRunError) -> NetraError:
    if isinstance(error, ModelRateLimitError):
        return ProviderRateLimitError("The model's provider is busy.")
    if isinstance(error, ModelRequestRejectedError):
        return ProviderRefusedError("The model's provider refused the request.")
    if isinstance(error, ModelAPIError):
        return ProviderError("The model's provider failed.")
    if isinstance(error, UnexpectedModelBehavior):
        return ModelMisbehavedError("The model gave no usable answer.")
    return ModelMisbehavedError("The agent could not come to an end.")
