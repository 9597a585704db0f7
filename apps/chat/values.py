"""What a client's request carries: values read from its fields, checked, refused by name. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from apps.core.errors import InvalidInputError, TooLargeError

TEXT_KEYS = ("text", "content", "message", "query")


def text_of(fields: Mapping[str, Any], limit: int) -> str:
    """The message's text; refuses missing, blank, too long, NUL and lone surrogates by name."""
    key = next((key for key in TEXT_KEYS if fields.get(key) is not None), None)
    if key is None:
        raise InvalidInputError(
            "The message has no text.",
            field="text",
            fix="Send the question under 'text'.",
        )
    text = fields[key]
    if not isinstance(text, str):
        raise InvalidInputError(
            f"The text must be a string, not {kind_of(text)}.",
            field=key,
            fix="Send the question as a JSON string.",
        )
    return checked_text(text, limit, field=key)


def checked_text(text: str, limit: int, *, field: str = "text") -> str:
    """`text` itself when it may be stored; raises InvalidInputError or TooLargeError."""
    if not text.strip():
        raise InvalidInputError(
            "The message is empty.", field=field, fix="Write a question."
        )
    if len(text) > limit:
        raise TooLargeError(
            f"The message has {len(text):,} characters; {limit:,} are allowed.",
            field=field,
            fix="Shorten it, or send it in parts.",
            values={"length": len(text), "limit": limit},
        )
    if "\x00" in text:
        raise InvalidInputError(
            "The text contains a NUL character.",
            field=field,
            fix="Remove the NUL (U+0000).",
        )
    if not text.isascii() and any(
        "\ud800" <= character <= "\udfff" for character in text
    ):
        raise InvalidInputError(
            "The text contains a lone surrogate.",
            field=field,
            fix="Send whole characters (valid UTF-16 pairs).",
        )
    return text


def uuid_of(fields: Mapping[str, Any], name: str) -> UUID:
    """The UUID under `name`; raises InvalidInputError when it is missing or malformed."""
    found = optional_uuid(fields, name)
    if found is None:
        raise InvalidInputError(
            f"'{name}' is missing.", field=name, fix=f"Send '{name}' as a UUID."
        )
    return found


def optional_uuid(fields: Mapping[str, Any], name: str) -> UUID | None:
    value = fields.get(name)
    if value is None:
        return None
    try:
        return UUID(value if isinstance(value, str) else "")
    except ValueError:
        raise InvalidInputError(
            f"'{name}' is not a UUID.", field=name, fix=f"Send '{name}' as a UUID."
        ) from None


def whole_number(
    fields: Mapping[str, Any], name: str, default: int | None = None
) -> int:
    """A whole number ≥ 0 under `name`; raises InvalidInputError otherwise."""
    value = fields.get(name)
    value = default if value is None else value
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**63:
        raise InvalidInputError(
            f"'{name}' must be a whole number, 0 or more.",
            field=name,
            fix=f"Send '{name}' as 0, 1, 2, …",
        )
    return value


def optional_text(fields: Mapping[str, Any], name: str, limit: int) -> str | None:
    value = fields.get(name)
    if value is None:
        return None
    if not isinstance(value, str) or len(value) > limit:
        raise InvalidInputError(
            f"'{name}' must be a string of at most {limit} characters.",
            field=name,
            fix=f"Shorten '{name}', or leave it out.",
        )
    return checked_text(value, limit, field=name) if value.strip() else None


def optional_object(fields: Mapping[str, Any], name: str) -> dict[str, Any]:
    value = fields.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise InvalidInputError(
            f"'{name}' must be an object, not {kind_of(value)}.",
            field=name,
            fix="Send {…}, or leave it out.",
        )
    _check_strings(value, name)
    return value


def kind_of(value: object) -> str:
    """What a JSON value is, in words."""
    if value is None:
        return "null"
    names = {
        bool: "a boolean",
        int: "a number",
        float: "a number",
        str: "a string",
        list: "a list",
        dict: "an object",
    }
    return names.get(type(value), "that")


def _check_strings(value: object, name: str) -> None:
    """Refuse what no database takes inside an object: NUL and lone surrogates."""
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, str):
            if item.strip():
                checked_text(item, len(item), field=name)
        elif isinstance(item, dict):
            waiting += (*item.keys(), *item.values())
        elif isinstance(item, list):
            waiting += item
