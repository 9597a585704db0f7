"""Repeats a step for as long as the process runs. What the step does is its own business."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

log = logging.getLogger(__name__)

SHORTEST = 0.05  # seconds between two rounds of a step that takes its whole time


async def for_ever(
    step: Callable[[], Awaitable[None]],
    *,
    every: float,
    hint: asyncio.Event | None = None,
) -> None:
    """Run `step` each `every` seconds, or at once when hinted; a failing step is logged and repeated."""
    while True:
        started = time.monotonic()
        try:
            await step()
        except asyncio.CancelledError:
            raise
        except Exception:
            log.exception(
                "a runner step failed", extra={"action": "runner.step_failed"}
            )
        wait = max(SHORTEST, every - (time.monotonic() - started))
        if hint is None:
            await asyncio.sleep(wait)
            continue
        try:
            # Not wait_for: where the hint comes together with a cancellation, it drops the latter.
            async with asyncio.timeout(wait):
                await hint.wait()
        except TimeoutError:
            continue
        finally:
            hint.clear()
