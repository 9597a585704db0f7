"""Ids that rise with time."""

from __future__ import annotations

import time

from apps.core.ids import rising_id


def test_ids_are_of_version_seven_and_never_repeat() -> None:
    ids = {rising_id() for _ in range(5_000)}

    assert len(ids) == 5_000
    assert {id_.version for id_ in ids} == {7}
    assert {id_.variant for id_ in ids} == {"specified in RFC 4122"}


def test_a_later_id_is_greater_as_number_and_as_text() -> None:
    first = rising_id()
    time.sleep(0.002)
    second = rising_id()

    assert first < second
    assert first.hex < second.hex


def test_an_id_tells_the_millisecond_it_was_made_in() -> None:
    before = time.time_ns() // 1_000_000
    made = rising_id().int >> 80
    after = time.time_ns() // 1_000_000

    assert before <= made <= after
