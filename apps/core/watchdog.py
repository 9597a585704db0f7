"""Notices when something holds up the event loop, and says so: a slow call freezes every socket."""

from __future__ import annotations

import asyncio
import logging
import time

log = logging.getLogger(__name__)

LOOK_SECONDS = 0.5
WORTH_TELLING = 1.0  # seconds that the loop was held up
TELL_SECONDS = 10.0  # told at most this often


class Watchdog:
    """One for each process. `longest` is the longest delay since the start, in seconds."""

    def __init__(self) -> None:
        self.longest = 0.0
        self.times = 0  # how often a delay was worth telling
        self._told_at = -TELL_SECONDS
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        loop = asyncio.get_running_loop()
        self._task = loop.create_task(self._look_for_ever(), name="netra-watchdog")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task}, timeout=LOOK_SECONDS)
            self._task = None

    async def _look_for_ever(self) -> None:
        while True:
            began = time.monotonic()
            await asyncio.sleep(LOOK_SECONDS)
            self.note(time.monotonic() - began - LOOK_SECONDS)

    def note(self, delay: float) -> None:
        """Keep how late the loop was; tell about it when it was long."""
        self.longest = max(self.longest, delay)
        if delay < WORTH_TELLING:
            return
        self.times += 1
        if time.monotonic() - self._told_at >= TELL_SECONDS:
            self._told_at = time.monotonic()
            log.warning(
                "the event loop was held up for %.1f s; everybody waited",
                delay,
                extra={"action": "loop.held_up", "times": self.times},
            )


watchdog = Watchdog()
