"""Bodies of requests: bounded, in UTF-8, and what JSON itself allows."""

from __future__ import annotations

import io

import pytest
from rest_framework.exceptions import ParseError

from apps.core.bodies import CSVParser, StrictJSONParser, fields_of
from apps.core.errors import InvalidInputError, TooLargeError


def parsed(body: bytes) -> object:
    return StrictJSONParser().parse(io.BytesIO(body))


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b'{"a": [1, 2.5, null, true, "\xc3\xa9"]}', {"a": [1, 2.5, None, True, "é"]}),
        (b"\xef\xbb\xbf[]", []),
        (b"null", None),
        (b"-1.7e308", -1.7e308),
    ],
)
def test_json_is_read(body, value):
    assert parsed(body) == value


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"NaN", b"[Infinity]", b"\xff", b"[" * 100_000, b"9" * 5000, b"{} {}"],
)
def test_what_is_no_json_is_malformed(body):
    with pytest.raises(ParseError):
        parsed(body)


@pytest.mark.parametrize("body", [b"1e999", b'{"a": -1e400}'])
def test_a_number_beyond_what_can_be_stored_breaks_a_rule(body):
    with pytest.raises(InvalidInputError):
        parsed(body)


def test_a_body_is_read_only_so_far(settings):
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 10
    stream = io.BytesIO(b"x" * 1000)

    with pytest.raises(TooLargeError):
        StrictJSONParser().parse(stream)
    assert stream.tell() == 11


def test_a_table_is_read_as_objects_without_empty_cells():
    body = b'\xef\xbb\xbfa, b ,\r\n1,"x, y",z\r\n,,\r\n2\r\n3,4,5,6\r\n'

    rows = CSVParser().parse(io.BytesIO(body))

    assert rows == [{"a": "1", "b": "x, y"}, {}, {"a": "2"}, {"a": "3", "b": "4"}]


@pytest.mark.parametrize("body", [b'a\n"x', b"\xff"])
def test_what_is_no_table_is_malformed(body):
    with pytest.raises(ParseError):
        CSVParser().parse(io.BytesIO(body))


def test_nulls_count_as_left_out():
    assert fields_of({"a": None, "b": 0}) == {"b": 0}


@pytest.mark.parametrize("body", [None, [], "x", 1])
def test_only_an_object_has_fields(body):
    with pytest.raises(InvalidInputError):
        fields_of(body)
