"""The arithmetic of the trail: one text for one body, and no edit that goes unseen."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.audits import chain
from apps.audits.chain import START, Fault, Link

KEY, OTHER_KEY = b"k" * 32, b"o" * 32
TEXTS = st.text(max_size=12)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXTS | st.lists(TEXTS, max_size=3),
    lambda inner: st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)
BODIES = st.dictionaries(TEXTS, VALUES, max_size=5)


def made(bodies: list[dict], key: bytes = KEY) -> list[Link]:
    """A chain over these bodies."""
    links: list[Link] = []
    previous = START
    for seq, body in enumerate(bodies, 1):
        text = chain.canonical(body | {"seq": seq, "act": "x"})
        own = chain.digest(previous, text)
        code = chain.seal(key, own)
        links.append(Link(seq, text, "trail-1", previous, own, code, {"act": "x"}))
        previous = own
    return links


def first_fault(links: list[Link]) -> tuple[int, Fault] | None:
    expected, previous = 1, START
    for link in links:
        key = KEY if link.key_id == "trail-1" else None
        found = chain.broken(link, seq=expected, previous=previous, key=key)
        if found is not None:
            return link.seq, found.fault
        expected, previous = link.seq + 1, link.digest
    return None


@given(BODIES)
def test_a_body_has_one_text_whatever_the_order_of_its_fields(body) -> None:
    text = chain.canonical(body)

    assert chain.canonical(dict(reversed(body.items()))) == text
    assert json.loads(text) == body
    assert text.isascii()


@pytest.mark.parametrize("body", [{"a": 1.0}, {"a": {"b": 0.5}}, {"a": object()}])
def test_what_has_no_one_text_is_refused(body) -> None:
    with pytest.raises(TypeError):
        chain.canonical(body)


def test_moments_are_told_in_utc_to_the_microsecond() -> None:
    there = timezone(timedelta(hours=2))
    moment = datetime(2026, 11, 21, 17, 30, 0, 5, tzinfo=there)

    assert chain.stamp(moment) == "2026-11-21T15:30:00.000005Z"
    assert chain.stamp(moment.astimezone(UTC)) == chain.stamp(moment)


@given(st.lists(BODIES, max_size=6))
def test_an_honest_chain_holds(bodies) -> None:
    assert first_fault(made(bodies)) is None


@given(st.lists(BODIES, min_size=1, max_size=5), st.data())
def test_an_edit_of_any_character_of_a_body_is_found_at_its_entry(bodies, data) -> None:
    links = made(bodies)
    at = data.draw(st.integers(0, len(links) - 1))
    text = links[at].body
    place = data.draw(st.integers(0, len(text) - 1))
    instead = chr((ord(text[place]) + 1) % 128)
    links[at] = replace(links[at], body=text[:place] + instead + text[place + 1 :])

    assert first_fault(links) == (at + 1, Fault.ALTERED)


def test_each_kind_of_break_has_its_name() -> None:
    links = made([{"n": n} for n in range(5)])
    third = links[2]
    forged = made([{"n": n if n != 2 else 99} for n in range(5)], OTHER_KEY)

    def with_third(link: Link) -> list[Link]:
        return [*links[:2], link, *links[3:]]

    assert first_fault([*links[:2], *links[3:]]) == (4, Fault.MISSING)
    assert first_fault(with_third(replace(third, columns={"act": "y"}))) == (
        3,
        Fault.ALTERED,
    )
    assert first_fault(with_third(replace(third, digest="0" * 64))) == (
        3,
        Fault.ALTERED,
    )
    assert first_fault(with_third(replace(third, previous="0" * 64))) == (
        3,
        Fault.ALTERED,
    )
    assert first_fault(with_third(replace(links[3], seq=3))) == (3, Fault.MOVED)
    assert first_fault(with_third(replace(third, key_id="trail-9"))) == (
        3,
        Fault.FOREIGN_KEY,
    )
    assert first_fault(with_third(forged[2])) == (3, Fault.UNSEALED)
    assert first_fault(with_third(replace(third, code="0" * 64))) == (3, Fault.UNSEALED)


def test_whoever_has_no_key_cannot_write_the_rest_of_a_chain_anew() -> None:
    links = made([{"n": n} for n in range(5)])
    written_anew = made([{"n": n if n != 1 else 99} for n in range(5)], OTHER_KEY)

    assert first_fault([links[0], *written_anew[1:]]) == (2, Fault.UNSEALED)


def test_an_entry_of_another_chain_does_not_fit_in() -> None:
    links = made([{"n": n} for n in range(3)])
    others = made([{"m": n} for n in range(3)])

    assert first_fault([links[0], others[1], links[2]]) == (2, Fault.UNLINKED)
