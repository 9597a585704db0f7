"""The installation's clock: the database's time, whatever this machine believes.

Leases, deadlines and waits are compared across processes, so they must not depend on the clock of
one of them. Nothing here sleeps or schedules.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.utils import timezone

from apps.core import sql

log = logging.getLogger(__name__)

FOLLOW_SECONDS = 10.0
QUICK_SECONDS = 1.0  # a slower answer says too little about when it was true
SKEW_WORTH_TELLING = timedelta(seconds=5)
# CLOCK_BOOTTIME goes on while the machine sleeps; time.monotonic() does not on Linux.
_BOOTTIME = getattr(time, "CLOCK_BOOTTIME", None)


def elapsed() -> float:
    """Seconds since some moment, never set back, running on while the machine sleeps."""
    return time.monotonic() if _BOOTTIME is None else time.clock_gettime(_BOOTTIME)


@dataclass(frozen=True, slots=True)
class _Anchor:
    """What the database's clock said when `elapsed` stood at `at`."""

    at: float
    time: datetime


class Clock:
    """Tells the database's time from one look at it and the seconds that passed since."""

    def __init__(self) -> None:
        self._anchor: _Anchor | None = None
        self._told = False

    def now(self) -> datetime:
        """The database's time; this machine's own while it was never asked."""
        anchor = self._anchor
        if anchor is None:
            return timezone.now()
        return anchor.time + timedelta(seconds=elapsed() - anchor.at)

    @property
    def is_set(self) -> bool:
        return self._anchor is not None

    def set_by(self, ask: Callable[[], datetime]) -> timedelta:
        """Look at the database's clock through `ask`; returns how far this machine's own is off.

        The answer is taken for the middle of the time that asking took.
        """
        began = elapsed()
        answer = ask()
        ended = elapsed()
        if self._anchor is None or ended - began <= QUICK_SECONDS:
            self._anchor = _Anchor((began + ended) / 2, answer.astimezone(UTC))
        skew = timezone.now() - self.now()
        off = abs(skew) > SKEW_WORTH_TELLING
        if off and not self._told:
            log.warning(
                "this machine's clock is %.1f s off the database's, whose time counts",
                skew.total_seconds(),
                extra={"action": "clock.skewed"},
            )
        self._told = off
        return skew

    def forget(self) -> None:
        """Go back to this machine's own time."""
        self._anchor, self._told = None, False


clock = Clock()
now = clock.now


def follow() -> None:
    """Set the clock by the database: once on SQLite, whose clock is this machine's; else each time.

    That a step of this machine's own clock is not followed keeps leases and deadlines whole.
    """
    if sql.own_clock() or not clock.is_set:
        clock.set_by(sql.database_time)
