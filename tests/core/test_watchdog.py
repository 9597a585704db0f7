"""The watchdog: a held-up loop is noticed, told about, and counted."""

from __future__ import annotations

import asyncio
import logging
import time

from apps.core.watchdog import WORTH_TELLING, Watchdog


async def test_a_loop_that_was_held_up_is_told_about(caplog) -> None:
    dog = Watchdog()
    dog.start()
    await asyncio.sleep(0)

    with caplog.at_level(logging.WARNING):
        time.sleep(WORTH_TELLING + 0.6)  # noqa: ASYNC251 - that is the fault
        async with asyncio.timeout(10):
            while not dog.times:  # noqa: ASYNC110 - it rings no bell
                await asyncio.sleep(0.01)
    await dog.stop()

    assert dog.longest >= WORTH_TELLING
    assert [r.message for r in caplog.records if "held up" in r.message]


def test_a_loop_that_is_always_late_is_told_about_once(caplog) -> None:
    dog = Watchdog()

    with caplog.at_level(logging.WARNING):
        for _ in range(5):
            dog.note(2.0)

    assert dog.times == 5
    assert len([r for r in caplog.records if "held up" in r.message]) == 1


def test_a_short_delay_is_no_news(caplog) -> None:
    dog = Watchdog()

    dog.note(0.2)

    assert (dog.times, dog.longest) == (0, 0.2)
    assert not caplog.records
