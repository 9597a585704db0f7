"""What a question is about and which period it means."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.agents.questions import READ_CHARACTERS, Topic, understand
from apps.usage.periods import DAYS, MONTH

TODAY = date(2026, 11, 21)
JUMP, COST, SAVINGS, LATENCY = Topic.JUMP, Topic.COST, Topic.SAVINGS, Topic.LATENCY
FAILURES, MODELS, SUMMARY, OTHER = (
    Topic.FAILURES,
    Topic.MODELS,
    Topic.SUMMARY,
    Topic.OTHER,
)


@pytest.mark.parametrize(
    ("text", "topics"),
    [
        ("Where did our AI spend jump last month, and what should we do?", {JUMP}),
        ("why is the bill so high", {JUMP}),
        ("Our costs went right up in October!", {JUMP}),
        ("what did we spend last week", {COST}),
        ("break down costs by provider", {COST}),
        ("How much do we pay?", {COST}),
        ("how can we save?", {SAVINGS}),
        ("Reduce our AI costs", {SAVINGS}),
        ("would prompt caching help", {SAVINGS}),
        ("which provider is slow?", {LATENCY}),
        ("p95 per model please", {LATENCY}),
        ("How can we reduce latency?", {LATENCY}),
        ("what failed yesterday", {FAILURES}),
        ("any rate limits or timeouts?", {FAILURES}),
        ("Which model is best for support?", {MODELS}),
        ("compare claude and gpt", {MODELS}),
        ("give me a summary", {SUMMARY}),
        ("how many tokens did we use", {SUMMARY}),
        ("compare cost and latency of our providers", {COST, LATENCY}),
        ("tell me a joke", {OTHER}),
        ("", {OTHER}),
        ("🦆🦆🦆", {OTHER}),
        ("Where can I go for a walk?", {OTHER}),
    ],
)
def test_the_subject_is_read_from_the_words(text, topics):
    assert set(understand(text, today=TODAY).topics) == topics


@pytest.mark.parametrize(
    ("text", "period"),
    [
        ("cost last month", "2026-10"),
        ("cost this month", "2026-11"),
        ("cost in October", "2026-10"),
        ("cost in Oct. 2025", "2025-10"),
        ("cost in december", "2025-12"),
        ("cost in November", "2026-11"),
        ("cost in may", "2026-05"),
        ("May 2025 cost", "2025-05"),
        ("what may it cost", "30d"),
        ("cost 2026-08", "2026-08"),
        ("costs of September and October", "2026-10"),
        ("cost last week", "7d"),
        ("cost of the last 14 days", "14d"),
        ("cost of the past two weeks", "14d"),
        ("cost over 3 months", "90d"),
        ("cost 90d", "90d"),
        ("cost last quarter", "90d"),
        ("cost today", "1d"),
        ("cost over 900 days", "366d"),
        ("cost", "30d"),
        ("why did spend jump month over month", "2026-10"),
    ],
)
def test_the_period_is_read_from_the_words(text, period):
    assert understand(text, today=TODAY).period == period


def test_last_month_in_january_is_december():
    assert understand("cost last month", today=date(2026, 1, 31)).period == "2025-12"


def test_a_month_that_has_not_begun_is_said_and_not_asked_for():
    asked = understand("what will we spend in December 2030?", today=TODAY)

    assert asked.period == "30d"
    assert "December 2030 has not begun" in asked.note


@pytest.mark.parametrize(
    ("text", "by"),
    [
        ("cost by model", "model"),
        ("cost per provider", "provider"),
        ("daily cost", "day"),
        ("cost per day", "day"),
        ("cost of the last 7 days", "feature"),
        ("what did we spend", "feature"),
    ],
)
def test_the_breakdown_is_read_from_the_words(text, by):
    assert understand(text, today=TODAY).by == by


def test_a_short_follow_up_takes_its_subject_from_the_question_before():
    asked = understand(
        "and in September?", today=TODAY, earlier=["which provider is slow?"]
    )

    assert asked.topics == (LATENCY,)
    assert asked.period == "2026-09"


def test_a_follow_up_keeps_the_period_of_the_question_before():
    earlier = ["what did we spend last month?", "tell me more"]

    assert understand("go on", today=TODAY, earlier=earlier).period == "2026-10"


def test_a_new_subject_is_not_overruled_by_the_question_before():
    asked = understand("what failed?", today=TODAY, earlier=["which provider is slow?"])

    assert asked.topics == (FAILURES,)


def test_a_long_text_is_read_at_its_beginning_and_its_end():
    filler = "lorem ipsum " * READ_CHARACTERS

    assert understand(f"{filler} what did we spend?", today=TODAY).topics == (COST,)
    assert understand(f"what did we spend? {filler}", today=TODAY).topics == (COST,)


@given(
    text=st.text(max_size=300),
    words=st.lists(
        st.sampled_from(
            (
                "last",
                "month",
                "may",
                "2030",
                "oct",
                "900",
                "days",
                "why",
                "up",
                "0d",
                "week",
            )
        ),
        max_size=8,
    ),
    today=st.dates(min_value=date(2021, 1, 1), max_value=date(2060, 1, 1)),
)
def test_any_text_means_some_subject_and_a_period_that_the_tools_accept(
    text, words, today
):
    asked = understand(f"{text} {' '.join(words)}", today=today, earlier=[text])

    assert asked.topics
    assert asked.by in {"feature", "model", "provider", "day"}
    assert DAYS.fullmatch(asked.period) or MONTH.fullmatch(asked.period)
    if MONTH.fullmatch(asked.period):
        assert asked.period <= f"{today:%Y-%m}"
