"""What staff see of a payload: that something was said, and never what."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.core.tenancy import staff as staff_scope
from apps.executions.redaction import CLOSED, OPEN, redacted, redacted_parts
from apps.executions.states import ExecutionState
from tests.staff import SECRET, told

pytestmark = pytest.mark.security

WORDS = st.text(min_size=1).map(lambda text: f"§ {text}")  # never a single plain word
JSON = st.recursive(
    WORDS, lambda inner: st.lists(inner) | st.dictionaries(WORDS, inner), max_leaves=5
)


@given(st.dictionaries(st.sampled_from(sorted(OPEN | CLOSED)) | WORDS, JSON))
def test_no_text_of_more_than_one_word_ever_passes(payload):
    assert not any(
        "§" in part.shown or "§" in part.name for part in redacted_parts(payload)
    )


@given(st.sampled_from(sorted(CLOSED)), st.text() | st.integers() | st.booleans())
def test_fields_that_hold_words_are_hidden_whatever_they_hold(name, value):
    (part,) = redacted_parts({name: value})

    assert part.hidden
    assert str(value) not in part.shown or len(str(value)) < 4


@given(st.text(min_size=1).filter(lambda name: name not in OPEN | CLOSED))
def test_a_field_that_the_protocol_does_not_name_loses_its_name(name):
    (part,) = redacted_parts({name: 1})

    assert part.name == "another field"
    assert part.hidden


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("ünïcödé", "•••• (7 chars)"),
        ("x", "•••• (1 char)"),
        ({"q": "x"}, "1 field, 9 bytes"),
        (["a", "b"], "2 items, 9 bytes"),
        ([], "0 items, 2 bytes"),
        (None, "none"),
        (5, "a value"),
    ],
)
def test_a_hidden_value_shows_its_kind_and_size(value, shown):
    (part,) = redacted_parts({"result": value})

    assert (part.shown, part.hidden) == (shown, True)


def test_what_happened_stays_readable():
    payload = {
        "tool": "lookup",
        "call_id": "c1",
        "ms": 12,
        "final": True,
        "quality": None,
    }

    shown = {part.name: part.shown for part in redacted_parts(payload)}

    assert shown == {
        "tool": "lookup",
        "call_id": "c1",
        "ms": "12",
        "final": "yes",
        "quality": "none",
    }


def test_usage_is_shown_number_by_number():
    usage = {"input_tokens": 7, "cost_usd": "0.5", "remark": SECRET}

    parts = redacted_parts({"usage": usage})

    assert [(p.name, p.hidden) for p in parts] == [
        ("input_tokens", False),
        ("cost_usd", False),
        ("usage", True),
    ]


def test_the_log_of_an_execution_is_read_without_what_was_said(
    alice_principal, support
):
    standing = told(alice_principal, ExecutionState.COMPLETED)

    with staff_scope(support.pk):
        events = redacted(standing.id)

    assert [event.type for event in events][-1] == "agent_completed"
    assert [event.seq for event in events] == sorted(event.seq for event in events)
    assert "zebra" not in repr(events)
    assert all(event.size > 0 for event in events)
