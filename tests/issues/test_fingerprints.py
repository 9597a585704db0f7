"""Fingerprints: the same for the same fault, different for different ones."""

from __future__ import annotations

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.issues.fingerprints import LENGTH, fingerprint, settled

WORDS = st.text(st.characters(categories=["Lu", "Ll"]), min_size=1, max_size=12)
FIELDS = ("agent", "state", "error_code", "error_class")
FAULTS = st.fixed_dictionaries(dict.fromkeys(FIELDS, WORDS))


@given(FAULTS)
def test_it_is_the_same_each_time_and_has_one_length(fault):
    assert fingerprint(**fault) == fingerprint(**dict(reversed(fault.items())))
    assert len(fingerprint(**fault)) == LENGTH


@given(FAULTS, st.sampled_from(FIELDS))
def test_letter_case_and_spaces_do_not_matter(fault, field):
    changed = fault | {field: f"  {fault[field].casefold()} \n"}

    assert fingerprint(**changed) == fingerprint(**fault)


@given(FAULTS, st.sampled_from(FIELDS), WORDS)
def test_any_other_word_in_any_field_makes_another_one(fault, field, word):
    changed = fault | {field: word}
    same = settled(word) == settled(fault[field])

    assert (fingerprint(**changed) == fingerprint(**fault)) == same


@given(FAULTS, st.integers(0, 10**9), st.integers(0, 10**9))
def test_numbers_do_not_matter(fault, one, other):
    first = fault | {"error_code": f"status_{one}"}
    second = fault | {"error_code": f"status_{other}"}

    assert fingerprint(**first) == fingerprint(**second)


@given(FAULTS, st.uuids(), st.uuids())
def test_ids_do_not_matter(fault, one: uuid.UUID, other: uuid.UUID):
    first = fault | {"error_class": f"Lost {one}"}
    second = fault | {"error_class": f"Lost {other}"}

    assert fingerprint(**first) == fingerprint(**second)


@given(WORDS, WORDS)
def test_fields_do_not_run_into_each_other(one, other):
    def of(agent: str, state: str) -> str:
        return fingerprint(agent=agent, state=state, error_code="", error_class="")

    joined = one + other
    assert (of(joined, "") == of(one, other)) is False


@given(st.text())
def test_settling_twice_changes_nothing_more(text):
    assert settled(settled(text)) == settled(text)


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("HTTP 503", "http 0"),
        ("0xdeadbeef01", "0"),
        ("deadbeef", "deadbeef"),
        ("a1b2c3d4e5", "0"),
        ("ModelHTTPError", "modelhttperror"),
    ],
)
def test_names_lose_what_varies_and_keep_what_they_say(name, plain):
    assert settled(name) == plain
