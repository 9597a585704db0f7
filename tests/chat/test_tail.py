"""The tail: stored text and the pieces heard since make the text as it is now."""

from __future__ import annotations

import uuid

import pytest

from apps.chat.tail import Tail
from apps.executions.events import TextDelta

ONE = uuid.UUID(int=1)


def piece(offset: int, text: str, attempt: int = 1, execution: int = 1) -> TextDelta:
    return TextDelta(
        stream_id=ONE,
        execution_id=uuid.UUID(int=execution),
        message_id=ONE,
        attempt=attempt,
        offset=offset,
        text=text,
    )


@pytest.mark.parametrize(
    ("kept", "whole"),
    [
        ("01234", "0123456789"),  # they meet
        ("0123456", "0123456789"),  # they overlap
        ("0123456789", "0123456789"),
        ("012", "012"),  # a gap between them: only what is stored is sure
        ("0123456789ab", "0123456789ab"),  # stored text that is ahead
    ],
)
def test_stored_text_is_continued_where_the_two_meet(kept: str, whole: str) -> None:
    tail = Tail(piece(5, "567"))

    assert tail.add(piece(8, "89"))
    assert tail.continued(kept) == whole


@pytest.mark.parametrize(
    "other",
    [
        piece(9, "9"),
        piece(5, "5"),
        piece(8, "8", attempt=2),
        piece(8, "8", execution=2),
    ],
    ids=["gap", "again", "another attempt", "another execution"],
)
def test_what_does_not_follow_is_refused_and_changes_nothing(other: TextDelta) -> None:
    tail = Tail(piece(5, "567"))

    assert not tail.add(other)
    assert tail.continued("01234") == "01234567"
