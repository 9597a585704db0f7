"""Calls with effects: their keys, their numbers, and what the tool is given."""

from __future__ import annotations

import json
import random
import uuid
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic_ai.messages import ToolReturnPart
from pydantic_ai.models.function import DeltaToolCall, FunctionModel

from apps.agents import calls, runtime
from apps.agents.calls import Effect, End, Settled, ToolSpec, call_key
from apps.agents.errors import ToolFailedError
from apps.agents.runtime import Situation
from apps.core.errors import InvalidInputError
from apps.executions.contexts import UserExecutionContext
from apps.executions.models import Step
from tests.agents.test_runtime import SCHEMA, Ear, Person

LEAVES = st.none() | st.booleans() | st.integers() | st.text(max_size=5)
VALUES = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)
ARGUMENTS = st.dictionaries(st.text(max_size=8), VALUES, max_size=4)


# -- keys ------------------------------------------------------------------------------


def shuffled(value: Any, how: random.Random) -> Any:
    """The same JSON, its fields in another order."""
    if isinstance(value, dict):
        items = [(key, shuffled(inner, how)) for key, inner in value.items()]
        how.shuffle(items)
        return dict(items)
    if isinstance(value, list):
        return [shuffled(inner, how) for inner in value]
    return value


@given(ARGUMENTS, st.randoms(use_true_random=False))
def test_the_same_call_has_the_same_key_however_it_was_written(arguments, how) -> None:
    again = json.loads(json.dumps(shuffled(arguments, how), indent=how.choice([0, 2])))

    assert call_key("send", again) == call_key("send", arguments)


@given(ARGUMENTS, ARGUMENTS)
def test_other_arguments_have_another_key(one, other) -> None:
    same = json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)

    assert (call_key("send", one) == call_key("send", other)) is same
    assert call_key("send", one) != call_key("sent", one)


@given(ARGUMENTS)
def test_a_key_fits_its_column_with_its_number_and_a_fence(arguments) -> None:
    key = f"{call_key('t' * 64, arguments)}:{2**31}:{2**31}"

    assert key.isascii()
    assert len(key) <= (Step._meta.get_field("key").max_length or 0)


# -- a ledger that remembers nothing but what it was told ----------------------------------


class Paper:
    """Stands where the step ledger stands; settles what a test says."""

    def __init__(self, settled: Settled | None = None) -> None:
        self.settled, self.told = settled, []

    def step(self, effect: Effect) -> Line:
        return Line(self, effect)


class Line:
    def __init__(self, paper: Paper, effect: Effect) -> None:
        self.paper, self.effect = paper, effect

    async def began(self) -> Settled | None:
        self.paper.told.append(("began", self.effect.key))
        return self.paper.settled

    async def ended(self, end: End, result: object, ms: int) -> None:
        self.paper.told.append((end.value, self.effect.key))


class Tool:
    """A tool with an effect, that remembers its calls."""

    def __init__(self, *problems: Exception | None) -> None:
        self.given: list[tuple[str, str]] = []
        self.problems = list(problems)

    async def __call__(self, q: str, *, idempotency_key: str) -> str:
        problem = self.problems.pop(0) if self.problems else None
        if problem is not None:
            raise problem
        self.given.append((q, idempotency_key))
        return f"sent {q}"


async def turn(
    tool: Any, paper: Paper | None, *asked: str, effects: bool = True
) -> tuple[Ear, uuid.UUID, list[object]]:
    """A model that makes these calls one after the other, whatever they give."""
    steps, results, ear = list(asked), [], Ear()

    async def stream(messages, info) -> AsyncIterator[Any]:
        results.extend(
            part.content
            for part in messages[-1].parts
            if isinstance(part, ToolReturnPart)
        )
        if not steps:
            yield "done"
            return
        yield {0: DeltaToolCall(name="send", json_args=steps.pop(0), tool_call_id="c")}

    spec = ToolSpec(
        "send", "Sends.", SCHEMA, tool, takes_context=False, effects=effects
    )
    model = FunctionModel(stream_function=stream, model_name="m")
    context = UserExecutionContext.for_principal(
        Person(), thread_id=uuid.uuid4(), run_id=uuid.uuid4()
    )
    await runtime.run(
        runtime.build(model, "", [spec]),
        question="?",
        history=[],
        situation=Situation(context, ear, paper),
    )
    return ear, context.run_id, results


async def test_equal_calls_are_numbered_and_each_has_its_own_key() -> None:
    tool, paper = Tool(), Paper()
    x, y = '{"q": "x"}', '{"q":"y"}'

    _, execution_id, _ = await turn(tool, paper, x, y, '{ "q":"x" }')

    key = call_key("send", {"q": "x"})
    other = call_key("send", {"q": "y"})
    assert tool.given == [
        ("x", f"{execution_id}:{key}:1"),
        ("y", f"{execution_id}:{other}:1"),
        ("x", f"{execution_id}:{key}:2"),
    ]


async def test_a_call_without_effect_gives_its_number_back() -> None:
    """An attempt in which the tool refused first finds the same step as one in which it did not."""
    tool, paper = Tool(InvalidInputError("Not now.")), Paper()

    await turn(tool, paper, '{"q":"x"}', '{"q":"x"}', '{"q":"x"}')

    key = call_key("send", {"q": "x"})
    assert paper.told == [
        ("began", f"{key}:1"),
        ("refused", f"{key}:1"),
        ("began", f"{key}:1"),
        ("done", f"{key}:1"),
        ("began", f"{key}:2"),
        ("done", f"{key}:2"),
    ]


async def test_what_is_settled_is_not_called_again() -> None:
    tool, paper = Tool(), Paper(Settled("sent before"))

    _, _, results = await turn(tool, paper, '{"q":"x"}')

    assert tool.given == []
    assert results == ["sent before"]
    assert [said for said, _ in paper.told] == ["began"]


async def test_a_tool_that_breaks_is_told_as_broken_and_not_as_refused() -> None:
    paper = Paper()

    with pytest.raises(ToolFailedError):
        await turn(Tool(RuntimeError("cut off")), paper, '{"q":"x"}')

    assert [said for said, _ in paper.told] == ["began", "broken"]


@pytest.mark.security
async def test_the_model_cannot_give_the_idempotency_key() -> None:
    tool, paper = Tool(), Paper()
    forged = '{"q":"x","idempotency_key":"mine"}'

    await turn(tool, paper, forged, '{"q":"x"}')

    assert [said for said, _ in paper.told] == ["began", "refused", "began", "done"]
    assert len(tool.given) == 1
    assert not tool.given[0][1].startswith("mine")


@pytest.mark.parametrize("name", ["spec", "ctx", "self"])
async def test_a_model_that_names_our_own_parameters_is_told_so(name: str) -> None:
    tool = Tool()

    await turn(tool, Paper(), json.dumps({name: 1}), '{"q":"x"}')

    assert len(tool.given) == 1


async def test_without_a_ledger_the_tool_is_called_with_its_key_all_the_same() -> None:
    tool = Tool()

    ear, execution_id, _ = await turn(tool, None, '{"q":"x"}')

    key = f"{call_key('send', {'q': 'x'})}:1"
    assert tool.given == [("x", f"{execution_id}:{key}")]
    told = [(one[0], one[1]) for one in ear.told if one[0] != "request"]
    assert told == [("began", key), ("ended", key)]


async def test_a_tool_without_effects_gets_no_key_and_meets_no_ledger() -> None:
    async def look(q: str, **more: object) -> str:
        return f"{q} {sorted(more)}"

    paper = Paper()

    _, _, results = await turn(look, paper, '{"q":"x"}', effects=False)

    assert results == ["x []"]
    assert paper.told == []


def test_what_the_ledger_keeps_is_bounded() -> None:
    assert calls.kept("a" * 60_000) == "a" * 60_000
    cut = calls.kept(["a" * 100] * 10_000)

    assert isinstance(cut, dict)
    assert cut["too_long"] is True
