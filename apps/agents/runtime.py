"""The agent loop over pydantic-ai: a question in, tool calls and text out, through a listener.

Imported only by workers (it is slow to load). Knows no database and no Django.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from pydantic_ai import Agent, RunContext
from pydantic_ai.exceptions import (
    AgentRunError,
    ModelAPIError,
    ModelConnectionError,
    ModelHTTPError,
    ModelQuotaExceededError,
    ModelRateLimitError,
    ModelRequestRejectedError,
    ModelRequestTimeout,
    ModelServerError,
    ModelTimeoutError,
    ModelUnavailableError,
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

from apps.agents.calls import Ledger, ToolListener, ToolSpec, clean, shown, tool_of
from apps.agents.errors import (
    ModelMisbehavedError,
    ProviderError,
    ProviderRateLimitError,
    ProviderRefusedError,
    ProviderTimeoutError,
    UnknownModelError,
)
from apps.agents.scripted import ScriptedProviderFailure
from apps.core.errors import NetraError
from apps.executions.contexts import UserExecutionContext

__all__ = [
    "Answer", "Listener", "Situation", "ToolSpec", "Voice", "build", "clean", "model_named", "run", "shown",
]  # fmt: skip
REQUEST_LIMIT = 12  # model requests in one turn
HTTP_SERVER_ERROR = 500
PARAGRAPH = "\n\n"


class Listener(ToolListener, Protocol):
    """Who is told what the agent does."""

    def say(self, text: str) -> None: ...
    def request_began(self) -> None: ...


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
    ledger: Ledger | None = None
    voice: Voice = field(default_factory=Voice)
    counts: Counter[str] = field(default_factory=Counter)


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
    return Agent(
        model if isinstance(model, Model) else model_named(model),
        deps_type=Situation,
        instructions=instructions or None,
        tools=[tool_of(spec) for spec in tools],
        retries=2,
    )


def model_named(name: str) -> Model:
    """A provider's model; raises UnknownModelError for a name that pydantic-ai does not know."""
    try:
        return infer_model(name)
    except (UserError, ValueError, ImportError) as error:
        raise UnknownModelError(
            f"The model {name!r} cannot be used: {error}"
        ) from error


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
        raise explained(error) from error
    usage = result.usage
    response = result.response
    return Answer(
        text=situation.voice.said or clean(result.output),
        model=response.model_name or "",
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        cached_tokens=usage.cache_read_tokens,
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


def _message(said: Mapping[str, str]) -> ModelMessage:
    if said["role"] == "user":
        return ModelRequest(parts=[UserPromptPart(content=said["text"])])
    return ModelResponse(parts=[TextPart(content=said["text"])])


def explained(error: AgentRunError) -> NetraError:
    """A failure of the loop or of a provider, in words that give away nothing of either."""
    if isinstance(error, ModelRateLimitError):
        return ProviderRateLimitError(retry_after=error.retry_after)
    if isinstance(error, ModelQuotaExceededError):
        return ProviderRefusedError(
            "The account with the model's provider is used up.",
            fix="An administrator should look at the account with the provider.",
        )
    if isinstance(error, ModelTimeoutError | ModelRequestTimeout):
        return ProviderTimeoutError()
    if isinstance(error, ModelRequestRejectedError) or _is_client_fault(error):
        return ProviderRefusedError()
    if isinstance(error, ModelAPIError):
        return ProviderError(retry_after=error.retry_after)
    if isinstance(error, UnexpectedModelBehavior):
        return ModelMisbehavedError()
    return ModelMisbehavedError("The agent could not come to an end.")


def is_outage(error: AgentRunError) -> bool:
    """Whether it says that the provider is ill: 5xx, silence, a broken connection.

    Refusals and rate limits come from a provider that is well. So does a request that waited in
    vain for a connection of ours.
    """
    if isinstance(error, ModelConnectionError):
        return error.phase != "pool"
    return isinstance(
        error, ModelServerError | ModelUnavailableError | ModelRequestTimeout
    ) or (isinstance(error, ModelHTTPError) and error.status_code >= HTTP_SERVER_ERROR)


def _is_client_fault(error: AgentRunError) -> bool:
    return isinstance(error, ModelHTTPError) and error.status_code < HTTP_SERVER_ERROR
