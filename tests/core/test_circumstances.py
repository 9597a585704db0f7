"""Circumstances: those of the innermost door, gone when it closes, carried to other threads."""

from __future__ import annotations

import threading

from apps.core import circumstances
from apps.core.circumstances import NONE, Circumstances

HERE = Circumstances(door="http", address="192.0.2.1")


def test_nothing_is_known_outside_a_door() -> None:
    assert circumstances.present() is NONE


def test_the_innermost_door_counts_until_it_closes() -> None:
    inner = Circumstances(door="runner")

    with circumstances.under(HERE):
        with circumstances.under(inner):
            assert circumstances.present() is inner
        assert circumstances.present() is HERE
    assert circumstances.present() is NONE


def test_work_for_another_thread_takes_them_along() -> None:
    seen: list[Circumstances] = []

    def work() -> None:
        seen.append(circumstances.present())

    with circumstances.under(HERE):
        carried = circumstances.carried(work)
    for each in (carried, work):
        thread = threading.Thread(target=each)
        thread.start()
        thread.join()

    assert seen == [HERE, NONE]
    assert circumstances.carried(work) is work
