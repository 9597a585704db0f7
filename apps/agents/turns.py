"""One turn, told in order: read the input, think, call tools, say the answer.

The work registered as `agents.turn`. Loaded when the first turn runs.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from functools import lru_cache, partial
from typing import Any

from django.conf import settings
from django.utils import timezone
from pydantic_ai import Agent
from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.models.function import AgentInfo, DeltaToolCall, FunctionModel

from apps.agents import analyst, guarded, runtime, scripted
from apps.agents.calls import Unknown, shown_arguments
from apps.agents.effects import Also, StepLedger
from apps.agents.errors import CircuitBreakerOpenError
from apps.agents.runtime import Situation, ToolSpec
from apps.agents.toolbox import TOOLS
from apps.core.flags import Switch, enabled
from apps.executions.events import Usage
from apps.executions.leased import LeasedExecution
from apps.executions.runners import Outcome
from apps.executions.states import EventType, Phase
from apps.usage import prices

OFFLINE = "offline"
INSTRUCTIONS = (
    "You are Netra's usage analyst. You answer questions about how one company uses AI models: cost, "
    "latency, model choice, failures. Always call the tools for figures; never invent one. Say what "
    "happened, why, and what to do, with amounts in US dollars and the period they belong to. Write "
    "short Markdown. If the data does not answer the question, say what is missing."
)
_EMPTY = {"type": "object", "properties": {}, "additionalProperties": False}
_LOOKUP = {
    "type": "object",
    "properties": {"q": {"type": "string"}},
    "required": ["q"],
    "additionalProperties": False,
}
_NOTE = {
    "type": "object",
    "properties": {"text": {"type": "string"}},
    "required": ["text"],
    "additionalProperties": False,
}
DIAGNOSTIC_TOOLS = (
    ToolSpec(
        "lookup", "Look something up.", _LOOKUP, scripted.lookup, takes_context=False
    ),
    ToolSpec("crash", "Crash.", _EMPTY, scripted.crash, takes_context=False),
    *(
        ToolSpec(
            scripted.note_tool(policy.value),
            f"Note a text in a file; where nobody knows whether it was noted: {policy}.",
            _NOTE,
            partial(scripted.note, settings.NETRA_VAR / "effects.log"),
            takes_context=False,
            effects=True,
            after_unknown=policy,
        )
        for policy in Unknown
    ),
)


async def run_turn(lease: LeasedExecution) -> Outcome:
    """Answer the question in the execution's input."""
    given: dict[str, Any] = await lease.input()
    listener = TurnListener(lease)
    listener.begin()
    try:
        answer = await runtime.run(
            agent_for(lease.standing.agent, str(given.get("model") or "")),
            question=str(given["text"]),
            history=given.get("history") or [],
            situation=Situation(lease.context(), listener, _ledger(lease, listener)),
        )
    except CircuitBreakerOpenError:
        listener.request_refused()
        raise
    listener.end()
    return Outcome(text=answer.text, usage=_usage(answer))


def _ledger(lease: LeasedExecution, listener: TurnListener) -> StepLedger | None:
    on = enabled(Switch.STEP_LEDGER, lease.standing.organisation_id)
    return StepLedger(lease, listener) if on else None


class TurnListener:
    """Turns what the agent does into phases, events and text of its execution."""

    def __init__(self, lease: LeasedExecution) -> None:
        self._lease = lease
        self._step = 0

    def begin(self) -> None:
        self._lease.phase(Phase.THINKING)
        self._think("Reading the question")

    def request_began(self) -> None:
        if self._lease.latest_phase is not Phase.LLM_INTERACTION:
            self._lease.phase(Phase.LLM_INTERACTION)

    def request_refused(self) -> None:
        self.request_began()
        self._lease.phase(Phase.CIRCUIT_BREAKER_OPEN)

    def say(self, text: str) -> None:
        self._lease.say(text)

    async def tool_began(
        self,
        call_id: str,
        tool: str,
        arguments: Mapping[str, object],
        also: Also | None = None,
    ) -> None:
        if self._lease.latest_phase is Phase.LLM_INTERACTION:
            self._lease.phase(Phase.TOOL_EXECUTION)
        payload = {
            "call_id": call_id,
            "tool": tool,
            "arguments": shown_arguments(arguments),
        }
        await self._lease.announce(EventType.TOOL_EXECUTING, payload, also)

    async def tool_ended(
        self,
        call_id: str,
        tool: str,
        status: str,
        result: object,
        ms: int,
        *,
        also: Also | None = None,
        kept: bool = False,
    ) -> None:
        payload: dict[str, object] = {
            "call_id": call_id,
            "tool": tool,
            "status": status,
            "result": result,
            "ms": ms,
        }
        if kept:
            payload["kept"] = True  # the result is an earlier attempt's
        await self._lease.announce(EventType.TOOL_COMPLETED, payload, also)

    def end(self) -> None:
        self.request_began()
        for phase in (Phase.RESULT_PROCESSING, Phase.COMPLETING, Phase.COMPLETED):
            self._lease.phase(phase)

    def _think(self, note: str) -> None:
        self._step += 1
        self._lease.think(note, step=self._step)


@lru_cache(maxsize=128)
def agent_for(name: str, model: str) -> Agent[Situation, str]:
    """The agent `name`, built once for each model; raises UnknownModelError."""
    if name in scripted.SCRIPTS:
        return runtime.build(_scripted_model(name), "", DIAGNOSTIC_TOOLS)
    chosen = model or settings.NETRA_MODEL
    return runtime.build(
        _offline_model() if chosen == OFFLINE else guarded.model_named(chosen),
        INSTRUCTIONS,
        _tools(),
    )


def _tools() -> list[ToolSpec]:
    return [
        ToolSpec(t.name, t.description, t.schema, t.function) for t in TOOLS.values()
    ]


def _scripted_model(name: str) -> FunctionModel:
    script = scripted.SCRIPTS[name]

    async def stream(messages: list[ModelMessage], _: AgentInfo) -> AsyncIterator[Any]:
        returned = any(isinstance(part, ToolReturnPart) for part in messages[-1].parts)
        async for step in script(returned, _question(messages)):
            if isinstance(step, scripted.CallTool):
                yield {
                    0: DeltaToolCall(
                        name=step.name, json_args=step.arguments, tool_call_id="c1"
                    )
                }
            else:
                yield step

    return FunctionModel(stream_function=stream, model_name=name)


def _question(messages: list[ModelMessage]) -> str:
    """What the person asked last."""
    parts = (part for message in reversed(messages) for part in message.parts)
    asked = (str(part.content) for part in parts if isinstance(part, UserPromptPart))
    return next(asked, "")


def _offline_model() -> FunctionModel:
    return FunctionModel(stream_function=_analyse, model_name=OFFLINE)


async def _analyse(messages: list[ModelMessage], _: AgentInfo) -> AsyncIterator[Any]:
    """Let the rule-driven analyst take the model's place: it asks for tools, then writes."""
    question, results, earlier = _so_far(messages)
    today = timezone.now().date()
    decision = analyst.plan(question, results, today=today, history=earlier)
    if isinstance(decision, analyst.Answer):
        for piece in analyst.pieces(decision.text):
            yield piece
        return
    yield {
        n: DeltaToolCall(
            name=call.tool,
            json_args=call.json_arguments,
            tool_call_id=f"c{len(results) + n + 1}",
        )
        for n, call in enumerate(decision.calls)
    }


def _so_far(
    messages: list[ModelMessage],
) -> tuple[str, list[analyst.ToolResult], list[str]]:
    """The question, what the tools returned to it, and the person's earlier questions."""
    questions: list[str] = []
    results: list[analyst.ToolResult] = []
    for message in messages:
        if not isinstance(message, ModelRequest):
            continue
        for part in message.parts:
            if isinstance(part, UserPromptPart):
                questions.append(str(part.content))
                results = []
            elif isinstance(part, ToolReturnPart):
                results.append(analyst.ToolResult(part.tool_name, part.content))
    return questions[-1], results, questions[:-1]


def _usage(answer: runtime.Answer) -> Usage:
    if answer.model == OFFLINE or answer.model in scripted.SCRIPTS:
        return Usage(model=answer.model)
    cost = prices.cost_of_model(
        answer.model, answer.input_tokens, answer.output_tokens, answer.cached_tokens
    )
    return Usage(
        model=answer.model,
        input_tokens=answer.input_tokens,
        output_tokens=answer.output_tokens,
        cost_usd=str(cost or 0),
    )
