"""The offline analyst: rules in the place of a language model. Picks tools, then writes from their results.

`plan` is called again after each round of tools, like a model. Pure: no Django, no clock, no randomness.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from apps.agents import answers, spending
from apps.agents.answers import CLOSING
from apps.agents.questions import Question, Topic, understand

MOST_RESULTS = 10  # a loop that went on for longer would never end
PIECE_CHARACTERS = 24
FAILURES_DAYS = "30d"

Result = Mapping[str, Any]
Key = tuple[str, str]  # tool, and by what it was broken down


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A tool to call."""

    tool: str
    arguments: Mapping[str, object] = field(default_factory=dict)

    @property
    def json_arguments(self) -> str:
        return json.dumps(self.arguments)

    @property
    def key(self) -> Key:
        return self.tool, str(self.arguments.get("by", ""))


@dataclass(frozen=True, slots=True)
class ToolCalls:
    """Tools whose results are needed before the answer can be written."""

    calls: tuple[ToolCall, ...]


@dataclass(frozen=True, slots=True)
class ToolResult:
    """What a tool returned."""

    tool: str
    content: object


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer in Markdown."""

    text: str


def plan(
    question: str,
    results: Sequence[ToolResult],
    *,
    today: date,
    history: Sequence[str] = (),
) -> ToolCalls | Answer:
    """The tools that are still needed, or the answer. `history`: what the person asked before."""
    asked = understand(question, today=today, earlier=history)
    known = _known(results)
    missing = [call for call in _needed(asked) if call.key not in known]
    summary = ToolCall("usage_summary", {"period": asked.period})
    if not missing and summary.key not in known and _is_empty(known):
        missing = [summary]
    if missing and len(results) < MOST_RESULTS:
        return ToolCalls(tuple(missing))
    return Answer(_written(asked, known, complete=not missing))


def pieces(text: str) -> Iterator[str]:
    """The text in pieces of some words, as a model would stream it."""
    start = 0
    while start < len(text):
        end = text.find(" ", start + PIECE_CHARACTERS) + 1 or len(text)
        yield text[start:end]
        start = end


_TOOLS: Mapping[Topic, tuple[Key, ...]] = {
    Topic.JUMP: (
        ("cost_breakdown", "feature"),
        ("savings_estimate", ""),
        ("latency_report", ""),
    ),
    Topic.COST: (("cost_breakdown", "asked"),),
    Topic.SAVINGS: (("savings_estimate", ""),),
    Topic.LATENCY: (("latency_report", ""),),
    Topic.FAILURES: (("recent_failures", ""),),
    Topic.MODELS: (
        ("cost_breakdown", "model"),
        ("latency_report", ""),
        ("savings_estimate", ""),
    ),
    Topic.SUMMARY: (("usage_summary", ""),),
    Topic.OTHER: (("usage_summary", ""),),
}


def _needed(asked: Question) -> list[ToolCall]:
    calls: dict[Key, ToolCall] = {}
    for topic in asked.topics:
        for tool, by in _TOOLS[topic]:
            call = _call(tool, asked.by if by == "asked" else by, asked.period)
            calls.setdefault(call.key, call)
    return list(calls.values())


def _call(tool: str, by: str, period: str) -> ToolCall:
    if tool == "recent_failures":
        return ToolCall(tool, {"limit": 10})
    return ToolCall(tool, {"by": by, "period": period} if by else {"period": period})


def _known(results: Sequence[ToolResult]) -> dict[Key, Result]:
    found: dict[Key, Result] = {}
    for result in results:
        if isinstance(result.content, Mapping):
            found[result.tool, str(result.content.get("by", ""))] = result.content
    return found


def _is_empty(known: Mapping[Key, Result]) -> bool:
    """Whether no tool found a single call."""
    return bool(known) and not any(
        result.get("calls") or result.get("providers") for result in known.values()
    )


def _written(asked: Question, known: Mapping[Key, Result], *, complete: bool) -> str:
    summary = known.get(("usage_summary", ""))
    if not complete:
        body = "I could not get the figures that this answer needs, so I will not guess. Please ask again."
    elif summary is not None and _is_empty(known):
        body = _on_nothing(asked, summary)
    else:
        body = "\n\n".join(_section(topic, asked, known) for topic in asked.topics)
    return "\n\n".join(
        part for part in (asked.note, _remark(asked), body, CLOSING) if part
    )


def _on_nothing(asked: Question, summary: Result) -> str:
    nothing = answers.nothing_recorded(summary)
    return (
        f"{answers.beyond(None)}\n\n{nothing}"
        if asked.topics == (Topic.OTHER,)
        else nothing
    )


def _remark(asked: Question) -> str:
    if (
        Topic.FAILURES in asked.topics
        and asked.period_named
        and asked.period != FAILURES_DAYS
    ):
        return "Failures are always shown for the last 30 days."
    return ""


def _section(topic: Topic, asked: Question, known: Mapping[Key, Result]) -> str:
    def result(tool: str, by: str = "") -> Result:
        return known[tool, by]

    if topic is Topic.JUMP:
        return spending.spend_jump(
            result("cost_breakdown", "feature"),
            result("savings_estimate"),
            result("latency_report"),
        )
    if topic is Topic.MODELS:
        return answers.models(
            result("cost_breakdown", "model"),
            result("latency_report"),
            result("savings_estimate"),
        )
    if topic is Topic.COST:
        return spending.cost(result("cost_breakdown", asked.by))
    if topic is Topic.SAVINGS:
        return answers.savings(result("savings_estimate"))
    if topic is Topic.LATENCY:
        return answers.latency(result("latency_report"))
    if topic is Topic.FAILURES:
        return answers.failures(result("recent_failures"))
    summary = result("usage_summary")
    return (
        answers.summary(summary) if topic is Topic.SUMMARY else answers.beyond(summary)
    )
