"""Named points at which a test kills, stops or delays this process. Outside tests nothing happens here.

`NETRA_FAULT=after_claim:2,before_finish:1:sleep=5`: the second claim that is reached here is the last.
Knows no app; an app names the point where it stands, and every name is in NAMES.
"""

from __future__ import annotations

import os
import re
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from django.db import transaction

NAMES: dict[str, str] = {
    "in_intake": "chat: everything of a question is written, nothing committed",
    "after_commit": "database: a unit is committed, no bell has rung, nobody was answered",
    "after_claim": "runner: the claim is committed, the work has not begun",
    "before_start": "leased: the unit that moves to running is about to be written",
    "after_start": "leased: it was written",
    "before_events": "leased: a later unit, such as a tool's result, is about to be written",
    "in_step": "agents: a step is marked as started, its tool has not been called",
    "before_finish": "leased: the unit that ends the execution is about to be written",
    "in_finish": "endings: it has moved, its last event is not written yet",
    "finished": "endings: the end is committed, nobody was told",
    "in_sweep": "recovery: the sweeper is about to handle one execution of several",
}
FORM = "name:nth[:kill|stop|sleep=SECONDS][,…] with a name out of " + ", ".join(NAMES)
_ORDER = re.compile(
    r"(?P<name>\w+):(?P<nth>[1-9]\d*)(:(?P<act>kill|stop|sleep=(?P<s>\d+(\.\d+)?)))?"
)


class Act(StrEnum):
    """What happens to the process at a point."""

    KILL = "kill"
    STOP = "stop"  # until somebody sends SIGCONT
    SLEEP = "sleep"  # the thread only


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What shall happen the `nth` time that a point is reached."""

    name: str
    nth: int
    act: Act = Act.KILL
    seconds: float = 0.0

    def happen(self) -> None:
        if self.act is Act.SLEEP:
            time.sleep(self.seconds)
        else:
            number = signal.SIGKILL if self.act is Act.KILL else signal.SIGSTOP
            os.kill(os.getpid(), number)


class Plan:
    """The faults of this process, and how often each point was reached. For all threads."""

    def __init__(self, faults: tuple[Fault, ...]) -> None:
        self._faults = {(fault.name, fault.nth): fault for fault in faults}
        self._reached: Counter[str] = Counter()
        self._lock = threading.Lock()

    def reach(self, point: str) -> None:
        with self._lock:
            self._reached[point] += 1
            fault = self._faults.get((point, self._reached[point]))
        if fault is not None:
            fault.happen()


def parsed(value: str) -> tuple[Fault, ...]:
    """The faults that NETRA_FAULT asks for; raises ValueError for anything but FORM."""
    return tuple(_fault(order.strip()) for order in value.split(",") if order.strip())


def _fault(order: str) -> Fault:
    found = _ORDER.fullmatch(order)
    if found is None or found["name"] not in NAMES:
        raise ValueError(order)
    act = Act((found["act"] or "kill").partition("=")[0])
    seconds = float(found["s"] or 0)
    return Fault(name=found["name"], nth=int(found["nth"]), act=act, seconds=seconds)


_plan: Plan | None = None


def arm(faults: tuple[Fault, ...]) -> None:
    """Let these faults happen in this process; none of them where there are none."""
    global _plan  # noqa: PLW0603 - one plan for each process
    _plan = Plan(faults) if faults else None


def reach(point: str) -> None:
    """This process stands at `point`: what a test planned for it happens now."""
    if _plan is not None:
        _plan.reach(point)


def reach_once_committed(point: str) -> None:
    """The same after the commit of the open transaction, before the bells rung from here on."""
    if _plan is not None:
        transaction.on_commit(_reaching(point), robust=True)


def _reaching(point: str) -> Callable[[], None]:
    return lambda: reach(point)
