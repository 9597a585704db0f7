"""How the HTTP API reads request bodies: JSON and CSV, bounded, in UTF-8. No rules of any app."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from typing import IO, Any

from django.conf import settings
from rest_framework.exceptions import ParseError
from rest_framework.parsers import BaseParser

from apps.core.errors import InvalidInputError, TooLargeError


class StrictJSONParser(BaseParser):
    """JSON as the standard has it: UTF-8, no NaN, no number beyond what can be stored."""

    media_type = "application/json"

    def parse(
        self,
        stream: IO[Any],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> Any:
        try:
            return json.loads(
                _text(stream),
                parse_constant=_refuse_constant,
                parse_float=_finite,
            )
        except RecursionError:
            raise ParseError("The JSON is nested too deeply.") from None
        except ValueError as error:
            raise ParseError(f"The body is not valid JSON: {error}.") from error


class CSVParser(BaseParser):
    """A table with its names in the first line, as a list of objects; empty cells are left out."""

    media_type = "text/csv"

    def parse(
        self,
        stream: IO[Any],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> Any:
        table = csv.DictReader(io.StringIO(_text(stream), newline=""), strict=True)
        try:
            return [_cells(row) for row in table]
        except csv.Error as error:
            raise ParseError(
                f"The body is not valid CSV at line {table.line_num}: {error}."
            ) from error


def fields_of(body: object) -> dict[str, Any]:
    """The body when it is an object, without its nulls; raises InvalidInputError for anything else."""
    if not isinstance(body, Mapping):
        raise InvalidInputError(
            "The body must be a JSON object.", field="body", fix="Send {…}."
        )
    return {str(name): value for name, value in body.items() if value is not None}


def _text(stream: IO[Any]) -> str:
    limit = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
    raw = stream.read(limit + 1)
    if len(raw) > limit:
        raise TooLargeError(
            f"The body is larger than {limit // 1024:,} KiB.",
            values={"limit_bytes": limit},
        )
    try:
        return str(raw, "utf-8-sig")
    except UnicodeDecodeError as error:
        raise ParseError(f"The body is not UTF-8: {error.reason}.") from error


def _refuse_constant(name: str) -> object:
    raise ParseError(f"{name} is not a JSON number.")


def _finite(digits: str) -> float:
    number = float(digits)
    if number in {float("inf"), float("-inf")}:
        raise InvalidInputError(
            f"{digits[:40]} is too large a number.",
            field="body",
            fix="Send numbers between -1.7e308 and 1.7e308.",
        )
    return number


def _cells(row: Mapping[str | None, Any]) -> dict[str, str]:
    # DictReader puts surplus cells of a line under None.
    return {
        name.strip(): cell.strip()
        for name, cell in row.items()
        if name and isinstance(cell, str) and cell.strip()
    }
