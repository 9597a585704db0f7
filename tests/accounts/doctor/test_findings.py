"""Findings and what is shown of people: pure."""

from __future__ import annotations

import pytest

from apps.accounts.doctor import redaction
from apps.accounts.doctor.findings import Finding, Grade, worst


def finding(grade: Grade) -> Finding:
    return Finding(code="x", title="X", grade=grade, said="It is so.")


@pytest.mark.parametrize(
    ("grades", "whole"),
    [
        ([], Grade.UNKNOWN),
        ([Grade.OK], Grade.OK),
        ([Grade.OK, Grade.UNKNOWN], Grade.UNKNOWN),
        ([Grade.UNKNOWN, Grade.WARN], Grade.WARN),
        ([Grade.WARN, Grade.FAIL, Grade.OK], Grade.FAIL),
    ],
)
def test_the_whole_is_as_its_worst_part(grades, whole):
    assert worst(map(finding, grades)) is whole


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("alice@acme.example", "a…@acme.example"),
        ("a@b@acme.example", "a…@acme.example"),
        ("@acme.example", "…@acme.example"),
        ("alice", "text of 5 characters"),
    ],
)
def test_of_an_address_one_letter_and_the_domain_are_left(text, shown):
    assert redaction.address(text) == shown


def test_every_address_in_a_sentence_is_masked():
    told = redaction.sentence(
        "Acme may not speak for bob@x.example (or 'eve@y.example')."
    )

    assert told == "Acme may not speak for b…@x.example (or 'e…@y.example')."


@pytest.mark.parametrize(
    ("sub", "shown"),
    [
        ("00u1abcdefgh", "00u1… (12 characters)"),
        ("abc", "a… (3 characters)"),
        ("", "… (0 characters)"),
        ("alice@acme.example", "a…@acme.example (18 characters)"),
    ],
)
def test_of_a_subject_the_beginning_is_left(sub, shown):
    assert redaction.subject(sub) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "nothing"),
        (True, "yes or no"),
        (7, "a number"),
        ("secret", "text of 6 characters"),
        (["secret"], "a list of 1"),
        ({"secret": 1}, "an object with 1 names"),
        (object(), "something else"),
    ],
)
def test_an_unknown_claim_is_told_by_its_kind(value, shown):
    (claim,) = redaction.claims({"anything": value})

    assert (claim.name, claim.shown) == ("anything", shown)


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("iss", "https://id.acme.example", "https://id.acme.example"),
        ("aud", ["a", "b"], "a, b"),
        ("aud", {"a": 1}, "an object with 1 names"),
        ("email_verified", False, "no"),
        ("hd", "eve@acme.example", "e…@acme.example"),
        ("sub", 7, "a number"),
        ("email", ["x@acme.example"], "a list of 1"),
        ("exp", 0, "1970-01-01T00:00:00+00:00"),
        ("exp", 10**30, "a number"),
        ("exp", True, "yes or no"),
    ],
)
def test_what_says_nothing_about_the_person_is_shown(name, value, shown):
    (claim,) = redaction.claims({name: value})

    assert claim.shown == shown


def test_an_address_as_the_name_of_a_claim_is_masked():
    (claim,) = redaction.claims({"alice@acme.example": 1})

    assert claim.name == "a…@acme.example"
