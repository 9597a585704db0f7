"""Readers of the environment: what they accept, and the sentence they refuse with."""

from __future__ import annotations

import pytest

from netra import env

NAME = "NETRA_SOMETHING"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("1", True), ("true", True), ("YES", True), (" on ", True),
        ("0", False), ("false", False), ("No", False), ("off", False), ("", True),
    ],
)  # fmt: skip
def test_flag_reads_what_people_write(value: str, expected: bool, monkeypatch) -> None:
    monkeypatch.setenv(NAME, value)

    assert env.flag(NAME, default=True) is expected


def test_flag_refuses_anything_else_and_says_what_it_takes(monkeypatch) -> None:
    monkeypatch.setenv(NAME, "perhaps")

    with pytest.raises(
        env.ConfigurationError, match=rf"{NAME} is 'perhaps'; it must be 1 or 0\."
    ):
        env.flag(NAME, default=False)


def test_text_strips_and_falls_back_to_its_default(monkeypatch) -> None:
    monkeypatch.setenv(NAME, "  words ")
    assert env.text(NAME) == "words"

    monkeypatch.delenv(NAME)
    assert env.text(NAME, "other") == "other"


@pytest.mark.parametrize("value", [None, "", "   "])
def test_text_refuses_to_be_empty(value: str | None, monkeypatch) -> None:
    monkeypatch.delenv(NAME, raising=False)
    if value is not None:
        monkeypatch.setenv(NAME, value)

    with pytest.raises(
        env.ConfigurationError, match=f"^{NAME} .*; it must be a non-empty text"
    ):
        env.text(NAME)


def test_optional_is_none_when_empty(monkeypatch) -> None:
    monkeypatch.setenv(NAME, " ")
    assert env.optional(NAME) is None

    monkeypatch.setenv(NAME, " x ")
    assert env.optional(NAME) == "x"


def test_words_are_separated_by_commas_and_never_empty(monkeypatch) -> None:
    monkeypatch.setenv(NAME, "a, b,,c ,")

    assert env.words(NAME) == ["a", "b", "c"]


def test_parsed_names_the_variable_the_value_the_form_and_the_hint(monkeypatch) -> None:
    monkeypatch.setenv(NAME, "many")

    with pytest.raises(
        env.ConfigurationError,
        match=rf"{NAME} is 'many'; it must be a number\. Count\.$",
    ):
        env.parsed(NAME, "1", int, form="a number", hint="Count.")


def test_parsed_reads_its_default_when_unset_or_blank(monkeypatch) -> None:
    monkeypatch.setenv(NAME, " ")

    assert env.parsed(NAME, "7", int, form="a number") == 7
