"""Values of a request: taken as meant, or refused with field, problem and fix."""

from __future__ import annotations

import uuid
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.chat import values
from apps.core.errors import InvalidInputError, NetraError, TooLargeError

pytestmark = pytest.mark.security
LIMIT = 32_000


def refusal_of(read: Callable[[], object]) -> NetraError:
    with pytest.raises((InvalidInputError, TooLargeError)) as caught:
        read()
    assert caught.value.field
    assert caught.value.fix
    return caught.value


@pytest.mark.parametrize("key", ["text", "content", "message", "query"])
def test_the_text_may_stand_under_four_names(key: str) -> None:
    assert values.text_of({key: "hi", "other": None}, LIMIT) == "hi"


def test_the_first_name_that_is_not_null_wins() -> None:
    fields = {"text": None, "content": "a", "message": "b", "query": "c"}

    assert values.text_of(fields, LIMIT) == "a"


@pytest.mark.parametrize("fields", [{}, {"text": None}, {"body": "hi"}])
def test_a_message_without_text_is_refused(fields: dict) -> None:
    assert refusal_of(lambda: values.text_of(fields, LIMIT)).field == "text"


@pytest.mark.parametrize(
    ("given", "word"),
    [
        (1, "number"),
        (1.5, "number"),
        (True, "boolean"),
        (False, "boolean"),
        ([], "list"),
        ({}, "object"),
    ],
)
def test_a_text_of_another_type_is_refused_by_its_name(
    given: object, word: str
) -> None:
    error = refusal_of(lambda: values.text_of({"content": given}, LIMIT))

    assert word in error.message
    assert error.field == "content"


@pytest.mark.parametrize("blank", ["", " ", "\n\t\r", "\u3000\u2028"])
def test_a_blank_text_is_refused(blank: str) -> None:
    assert "empty" in refusal_of(lambda: values.text_of({"text": blank}, LIMIT)).message


@pytest.mark.parametrize("letter", ["a", "é", "𝔘"])
def test_the_limit_counts_code_points(letter: str) -> None:
    assert values.text_of({"text": letter * LIMIT}, LIMIT) == letter * LIMIT

    error = refusal_of(lambda: values.text_of({"text": letter * (LIMIT + 1)}, LIMIT))

    assert isinstance(error, TooLargeError)
    assert error.values == {"length": LIMIT + 1, "limit": LIMIT}


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("a\x00b", "NUL"),
        ("\x00", "NUL"),
        ("a\ud800", "surrogate"),
        ("\udfff é", "surrogate"),
    ],
)
def test_what_cannot_be_stored_is_refused_by_name(text: str, named: str) -> None:
    assert named in refusal_of(lambda: values.text_of({"text": text}, LIMIT)).message


@given(st.text())
def test_every_other_text_is_taken_unchanged(text: str) -> None:
    try:
        taken = values.text_of({"text": text}, LIMIT)
    except InvalidInputError:
        assert not text.strip() or "\x00" in text
    else:
        assert taken == text
        taken.encode()


def test_uuids_are_read_and_everything_else_is_refused() -> None:
    found = uuid.uuid4()

    assert values.uuid_of({"a": str(found)}, "a") == found
    assert values.uuid_of({"a": found.hex.upper()}, "a") == found
    assert values.optional_uuid({"a": None}, "a") is None
    for wrong in ("", "17", 17, True, [], {}, str(found)[:-1], "\ud800" * 32):
        fields = {"a": wrong}
        assert (
            refusal_of(lambda fields=fields: values.uuid_of(fields, "a")).field == "a"
        )
    assert refusal_of(lambda: values.uuid_of({}, "a")).field == "a"


@pytest.mark.parametrize("wrong", [-1, 1.0, "1", True, [], 2**63, float("1e18")])
def test_numbers_are_whole_and_not_below_nought(wrong: object) -> None:
    refusal_of(lambda: values.whole_number({"a": wrong}, "a", 0))


@pytest.mark.parametrize(("fields", "read"), [({"a": 5}, 5), ({"a": None}, 0), ({}, 0)])
def test_a_number_left_out_or_null_is_the_default(fields: dict, read: int) -> None:
    assert values.whole_number(fields, "a", 0) == read


def test_a_number_that_is_needed_is_missed() -> None:
    refusal_of(lambda: values.whole_number({"a": None}, "a"))


@pytest.mark.parametrize(
    ("given", "read"), [(None, None), ("", None), (" ", None), ("x", "x")]
)
def test_a_text_that_may_be_left_out(given: object, read: str | None) -> None:
    assert values.optional_text({"a": given}, "a", 64) == read


@pytest.mark.parametrize("wrong", [1, True, [], {}, "x" * 65, "a\x00", "\udc00"])
def test_a_text_that_may_be_left_out_is_checked_when_it_is_there(wrong: object) -> None:
    refusal_of(lambda: values.optional_text({"a": wrong}, "a", 64))


def test_an_object_is_taken_as_it_is() -> None:
    given = {"a": [1, None, True, " ", "", {"é": "𝔘"}]}

    assert values.optional_object({"m": given}, "m") == given
    assert values.optional_object({"m": None}, "m") == {}


@pytest.mark.parametrize(
    "wrong",
    [
        [],
        "a",
        1,
        True,
        {"a": "\x00"},
        {"\x00": 1},
        {"a": {"b": ["\ud800"]}},
        {"\udc00": 1},
        {"a": " \x00"},
    ],
    ids=repr,
)
def test_an_object_with_what_no_database_takes_is_refused(wrong: object) -> None:
    refusal_of(lambda: values.optional_object({"m": wrong}, "m"))
