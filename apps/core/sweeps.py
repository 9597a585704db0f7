"""The registry of sweeps: what looks at the rows again and again, for bells that were lost.

Each app registers its own; the sweeper thread of executions runs those that are due.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Sweep:
    """One function and how often it runs."""

    name: str
    work: Callable[[], object]
    every: float  # seconds
    due_at: float = field(default=0.0)


_sweeps: dict[str, Sweep] = {}


def register(name: str, work: Callable[[], object], *, every: float) -> None:
    _sweeps[name] = Sweep(name, work, every)


def registered() -> dict[str, float]:
    """Name → seconds, for tests and the docs."""
    return {sweep.name: sweep.every for sweep in _sweeps.values()}


def run_due(now: float | None = None) -> None:
    """Run every sweep whose time has come; one that fails is logged and tried again later."""
    now = time.monotonic() if now is None else now
    for sweep in _sweeps.values():
        if now < sweep.due_at:
            continue
        sweep.due_at = now + sweep.every
        try:
            sweep.work()
        except Exception:
            log.exception(
                "the sweep %s failed", sweep.name, extra={"action": "sweep.failed"}
            )
