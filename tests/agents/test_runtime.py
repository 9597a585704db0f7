"""The agent loop with scripted models: what is told, in which order, and how each failure reads."""

from __future__ import annotations

import json
import uuid
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic_ai.exceptions import (
    ModelAPIError,
    ModelHTTPError,
    ModelRateLimitError,
    ModelRequestRejectedError,
    UnexpectedModelBehavior,
)
from pydantic_ai.messages import ModelMessage, ToolReturnPart, UserPromptPart
from pydantic_ai.models.function import AgentInfo, DeltaToolCall, FunctionModel

from apps.agents import runtime
from apps.agents.errors import (
    ModelMisbehavedError,
    ProviderError,
    ProviderRateLimitError,
    ProviderRefusedError,
    ToolFailedError,
    UnknownModelError,
)
from apps.agents.runtime import Answer, Situation, ToolSpec
from apps.agents.scripted import ScriptedProviderFailure
from apps.core.errors import InvalidInputError, NetraError
from apps.executions.contexts import UserExecutionContext
from apps.executions.errors import LeaseLostError

SCHEMA = {
    "type": "object",
    "properties": {"q": {"type": "string"}},
    "required": ["q"],
    "additionalProperties": False,
}
Stream = Callable[[list[ModelMessage], AgentInfo], AsyncIterator[Any]]


@dataclass
class Person:
    user_id: uuid.UUID = field(default_factory=uuid.uuid4)
    organisation_id: uuid.UUID = field(default_factory=uuid.uuid4)
    tier: str = "mid"


@dataclass
class Ear:
    """A listener that remembers."""

    told: list[tuple] = field(default_factory=list)
    text: str = ""
    refuse_tools: bool = False

    def say(self, text: str) -> None:
        self.text += text

    def request_began(self) -> None:
        self.told.append(("request",))

    async def tool_began(self, call_id, tool, arguments) -> None:
        if self.refuse_tools:
            raise LeaseLostError
        self.told.append(("began", call_id, tool, dict(arguments)))

    async def tool_ended(self, call_id, tool, status, result, ms) -> None:
        assert ms >= 0
        self.told.append(("ended", call_id, tool, status, result))


def call(name: str, arguments: str, call_id: str = "c1") -> dict:
    return {0: DeltaToolCall(name=name, json_args=arguments, tool_call_id=call_id)}


async def turn(
    stream: Stream, *tools: ToolSpec, ear: Ear | None = None, **values: Any
) -> tuple[Answer, Ear]:
    ear = ear or Ear()
    context = UserExecutionContext.for_principal(
        Person(), thread_id=uuid.uuid4(), run_id=uuid.uuid4()
    )
    agent = runtime.build(
        FunctionModel(stream_function=stream, model_name="m"), "", tools
    )
    given = {"question": "why?", "history": []} | values
    answer = await runtime.run(agent, situation=Situation(context, ear), **given)
    return answer, ear


def saying(*pieces: str) -> Stream:
    async def stream(
        messages: list[ModelMessage], info: AgentInfo
    ) -> AsyncIterator[str]:
        for piece in pieces:
            yield piece

    return stream


def calling(step: Any, *, before: str = "", after: str = "done") -> Stream:
    """Call once, then answer."""

    async def stream(
        messages: list[ModelMessage], info: AgentInfo
    ) -> AsyncIterator[Any]:
        if any(isinstance(part, ToolReturnPart) for part in messages[-1].parts):
            yield after
            return
        if before:
            yield before
        yield step

    return stream


def raising(error: Exception, *before: str) -> Stream:
    async def stream(
        messages: list[ModelMessage], info: AgentInfo
    ) -> AsyncIterator[str]:
        for piece in before:
            yield piece
        raise error

    return stream


def tool(function: Callable, *, name: str = "look", context: bool = False) -> ToolSpec:
    return ToolSpec(name, "Looks.", SCHEMA, function, takes_context=context)


async def echo(q: str) -> str:
    return f"<{q}>"


# -- what is said --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pieces", "text"),
    [
        (("a", "b ", "c"), "ab c"),
        (("𝔘", "é"), "𝔘é"),
        (("a\x00b", "\x00"), "a\ufffdb\ufffd"),
        (("a\ud800", "b"), "a\ufffdb"),
        (("\udc00",), "\ufffd"),
        (("x \ud83d", "\ude00 y"), "x 😀 y"),
        (("x\ud83d", "", "\ude00"), "x😀"),
        (("x\ud83d",), "x\ufffd"),
        (("\ud83d\ud83d", "\ude00"), "\ufffd😀"),
    ],
    ids=ascii,
)
async def test_what_is_said_joins_to_the_answer_and_can_be_stored(pieces, text):
    answer, ear = await turn(saying(*pieces))

    assert answer.text == ear.text == text
    assert answer.text.encode()


@given(st.lists(st.text(alphabet="a\x00\ud83d\ude00é", min_size=1), min_size=1))
def test_any_pieces_join_to_clean_text(pieces: list[str]) -> None:
    voice, ear = runtime.Voice(), Ear()
    for piece in pieces:
        voice.add(piece, ear)
    voice.end(ear)

    assert ear.text == voice.said == runtime.clean("".join(pieces))
    assert ear.text.encode()


async def test_words_before_a_tool_call_are_part_of_the_answer():
    answer, ear = await turn(
        calling(call("look", '{"q":"x"}'), before="Let me look.", after="It is x."),
        tool(echo),
    )

    assert answer.text == ear.text == "Let me look.\n\nIt is x."
    assert ear.told == [
        ("request",),
        ("began", "c1", "look", {"q": "x"}),
        ("ended", "c1", "look", "ok", "<x>"),
        ("request",),
    ]


async def test_the_question_and_what_was_said_reach_the_model():
    seen: list[tuple[str, str]] = []

    async def stream(messages, info):
        for message in messages:
            for part in message.parts:
                kind = "user" if isinstance(part, UserPromptPart) else "assistant"
                seen.append((kind, str(part.content)))
        yield "ok"

    history = [
        {"role": "user", "text": "one"},
        {"role": "assistant", "text": "two"},
    ]
    await turn(stream, question="three", history=history)

    assert seen == [("user", "one"), ("assistant", "two"), ("user", "three")]


# -- tools ---------------------------------------------------------------------------


async def test_a_tool_learns_for_whom_it_works():
    asked: list[UserExecutionContext] = []

    async def mine(context: UserExecutionContext, q: str) -> str:
        asked.append(context)
        return q

    await turn(calling(call("look", '{"q":"x"}')), tool(mine, context=True))

    (context,) = asked
    context.verify()


async def test_a_tool_that_raises_ends_the_turn_without_its_secrets():
    async def crash(q: str) -> str:
        raise RuntimeError("password=hunter2")

    ear = Ear()
    with pytest.raises(ToolFailedError) as failure:
        await turn(calling(call("look", '{"q":"x"}')), tool(crash), ear=ear)

    assert ear.told[-1] == (
        "ended",
        "c1",
        "look",
        "error",
        {"error": "The tool failed."},
    )
    assert "hunter2" not in failure.value.message + str(ear.told)
    assert failure.value.retryable


@pytest.mark.parametrize("wrong", ["{}", '{"p":1}', '{"q":"x","p":1}'])
async def test_arguments_that_a_tool_does_not_take_go_back_to_the_model(wrong: str):
    steps = iter((call("look", wrong), call("look", '{"q":"x"}', "c2"), "done"))

    async def stream(messages, info):
        yield next(steps)

    answer, ear = await turn(stream, tool(echo))

    assert answer.text == "done"
    assert [told[3] for told in ear.told if told[0] == "ended"] == ["error", "ok"]


async def test_a_model_that_never_learns_is_given_up():
    async def refuse(q: str) -> str:
        raise InvalidInputError("Never.", field="q")

    async def stream(messages, info):
        yield call("look", '{"q":"x"}')

    with pytest.raises(ModelMisbehavedError):
        await turn(stream, tool(refuse))


async def test_a_model_that_calls_tools_for_ever_is_stopped():
    async def stream(messages, info):
        yield call("look", '{"q":"x"}', f"c{len(messages)}")

    ear = Ear()
    with pytest.raises(ModelMisbehavedError):
        await turn(stream, tool(echo), ear=ear)

    assert sum(told[0] == "request" for told in ear.told) <= runtime.REQUEST_LIMIT


async def test_losing_the_lease_in_a_tool_call_is_not_the_tools_fault():
    with pytest.raises(LeaseLostError):
        await turn(
            calling(call("look", '{"q":"x"}')), tool(echo), ear=Ear(refuse_tools=True)
        )


# -- what an event may carry ----------------------------------------------------------


@pytest.mark.parametrize(
    ("result", "carried"),
    [
        ("plain", "plain"),
        ({"a": [1, None, True, 1.5]}, {"a": [1, None, True, 1.5]}),
        ("a\x00\ud800", "a\ufffd\ufffd"),
        ({"k\x00": "\ud800"}, {"k\ufffd": "\ufffd"}),
        ([float("nan"), float("inf")], ["nan", "inf"]),
        (Decimal("1.20"), "1.20"),
        (datetime(2026, 1, 2, 3, 4), "2026-01-02 03:04:00"),  # noqa: DTZ001 - any will do
        ({("a", 1): {1}}, {"('a', 1)": [1]}),
        ({1: 2}, {"1": 2}),
    ],
    ids=ascii,
)
def test_a_result_is_made_json_that_every_database_takes(result, carried):
    assert runtime.shown(result) == carried


def test_a_result_over_8_kib_becomes_a_reference():
    limit = 8 * 1024

    assert runtime.shown("a" * (limit - 2)) == "a" * (limit - 2)
    cut = runtime.shown("a" * (limit - 1))
    assert cut == {"too_long": True, "bytes": limit + 1, "beginning": '"' + "a" * 499}
    assert runtime.shown("𝔘" * 3000)["bytes"] == 12_002  # bytes count, not characters
    assert runtime.shown(["é"] * 100_000)["too_long"]


def test_a_result_that_is_nested_without_end_is_cut():
    deep: list = []
    for _ in range(100_000):
        deep = [deep]

    assert "…" in json.dumps(runtime.shown(deep), ensure_ascii=False)


# -- how failures read ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raised", "expected"),
    [
        (ScriptedProviderFailure("x"), ProviderError),
        (ModelAPIError("m", "secret detail"), ProviderError),
        (ModelHTTPError(500, "m", body="secret detail"), ProviderError),
        (UnexpectedModelBehavior("secret detail"), ModelMisbehavedError),
    ],
    ids=lambda value: getattr(value, "__name__", type(value).__name__),
)
async def test_a_provider_that_fails_is_explained(raised, expected):
    ear = Ear()
    with pytest.raises(NetraError) as failure:
        await turn(raising(raised, "a", "b"), ear=ear)

    assert type(failure.value) is expected
    assert ear.text == "ab"
    assert failure.value.fix
    assert "secret" not in failure.value.message
    assert failure.value.__cause__ is raised


@pytest.mark.parametrize(
    ("status", "expected", "retryable"),
    [(429, ProviderRateLimitError, True), (400, ProviderRefusedError, False)],
)
async def test_a_busy_and_an_unwilling_provider_are_told_apart(
    status, expected, retryable
):
    kind = ModelRateLimitError if status == 429 else ModelRequestRejectedError

    with pytest.raises(expected) as failure:
        await turn(raising(kind(status, "m")))

    assert failure.value.retryable is retryable


async def test_a_fault_of_our_own_is_not_dressed_up():
    with pytest.raises(KeyError):
        await turn(raising(KeyError("bug")))


@pytest.mark.parametrize("name", ["nonsense", "nosuch:model", ""])
def test_a_model_that_nobody_knows_is_refused_by_name(name: str):
    with pytest.raises(UnknownModelError) as failure:
        runtime.build(name, "", [])

    assert repr(name) in failure.value.message
    assert failure.value.fix
