"""Typed readers for environment variables. A bad value stops the start with its name."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TypeVar

Value = TypeVar("Value")


class ConfigurationError(Exception):
    """A setting is missing or malformed; the message names it and the accepted form."""


def text(name: str, default: str | None = None, *, hint: str = "") -> str:
    value = os.environ.get(name, default)
    if value is None or not value.strip():
        raise ConfigurationError(_sentence(name, value, "a non-empty text", hint))
    return value.strip()


def optional(name: str) -> str | None:
    value = os.environ.get(name, "").strip()
    return value or None


def flag(name: str, *, default: bool, hint: str = "") -> bool:
    value = os.environ.get(name, "").strip().lower()
    if not value:
        return default
    if value in {"1", "true", "yes", "on"}:
        return True
    if value in {"0", "false", "no", "off"}:
        return False
    raise ConfigurationError(_sentence(name, value, "1 or 0", hint))


def words(name: str, default: str = "") -> list[str]:
    return [
        word
        for part in os.environ.get(name, default).split(",")
        if (word := part.strip())
    ]


def parsed(
    name: str, default: str, parse: Callable[[str], Value], *, form: str, hint: str = ""
) -> Value:
    """Read `name` through `parse`, which raises ValueError on what it does not accept."""
    value = os.environ.get(name, "").strip() or default
    try:
        return parse(value)
    except ValueError as error:
        raise ConfigurationError(_sentence(name, value, form, hint)) from error


def _sentence(name: str, value: str | None, form: str, hint: str) -> str:
    got = "is not set" if value is None else f"is {value!r}"
    return f"{name} {got}; it must be {form}." + (f" {hint}" if hint else "")
