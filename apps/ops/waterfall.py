"""Turns what is known of an execution's times into the rows of a waterfall. Pure; no Django."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

WIDTH = 1000.0  # units of every bar's drawing
LEAST = 3.0  # a bar is never narrower
ROWS = 300
INSTANT = timedelta(milliseconds=1)
DAY = 86_400.0
# Distances of marks that people count in, from a second to a day; beyond both, 1, 2 and 5.
STEPS = (1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14_400, 28_800, 43_200, DAY)  # fmt: skip
DECIMAL = (1, 2, 5, 10)
MARKS = 4  # on a scale, beside the one at zero
ALMOST = 1 - 1e-9  # of a figure that floating point has made a little too large


class Kind(StrEnum):
    """What a row shows. Told apart by label and mark; colour says how it went."""

    WAIT = "wait"
    ATTEMPT = "attempt"
    PHASE = "phase"
    TOOL = "tool"


class Fate(StrEnum):
    """How a step went."""

    DONE = "done"
    OPEN = "open"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One stretch of time. `end` is None while it lasts."""

    kind: Kind
    label: str
    start: datetime
    end: datetime | None
    fate: Fate = Fate.DONE
    note: str = ""
    depth: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A step with its place on the scale, and its figures in words."""

    kind: Kind
    label: str
    fate: Fate
    note: str
    depth: int
    x: float
    width: float
    after: timedelta
    lasted: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Tick:
    """A mark on the scale."""

    x: float
    after: timedelta

    @property
    def percent(self) -> float:
        return round(self.x / WIDTH * 100, 1)

    @property
    def label(self) -> str:
        """Short, since marks are round: "500 ms", "80 s", "10 min"."""
        seconds = self.after.total_seconds()
        if 0 < seconds < 1:
            return f"{seconds * 1000:.4g} ms"
        if seconds < 120:
            return f"{seconds:.4g} s"
        if seconds < 7200:
            return f"{seconds / 60:.4g} min"
        return (
            f"{seconds / 3600:.4g} h"
            if seconds < 2 * DAY
            else f"{seconds / DAY:,.0f} days"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Waterfall:
    """Everything a page needs to draw one execution. Lines are None where they do not belong."""

    rows: tuple[Row, ...]
    ticks: tuple[Tick, ...]
    span: timedelta
    now_x: float | None
    deadline_x: float | None
    left_out: int


def waterfall(
    steps: Sequence[Step],
    *,
    start: datetime,
    end: datetime | None,
    now: datetime,
    deadline: datetime | None = None,
) -> Waterfall:
    """Lay the steps on one scale from `start` to the end, or to now while the execution lives.

    The deadline is drawn where it is near; a scale that reached for a far one would flatten the rest.
    """
    last = max([end or now, start, *(step.end or now for step in steps)])
    until = last
    if deadline is not None and start < deadline <= start + (last - start) * 2:
        until = max(last, deadline)
    span = max(until - start, INSTANT)
    folded = _folded(steps)
    rows = tuple(_row(step, start, span, last) for step in folded[:ROWS])
    return Waterfall(
        rows=rows,
        ticks=_ticks(span),
        span=span,
        now_x=_x(now, start, span) if end is None else None,
        deadline_x=_x(deadline, start, span)
        if deadline is not None and start < deadline <= until
        else None,
        left_out=max(0, len(folded) - ROWS),
    )


def successive(
    labels: Iterable[tuple[str, datetime]], end: datetime | None, *, depth: int = 0
) -> list[Step]:
    """Phases: each lasts until the next begins, the last one until `end`."""
    known = list(labels)
    ends = [at for _, at in known[1:]] + [end]
    return [
        Step(
            kind=Kind.PHASE,
            label=label,
            start=at,
            end=until,
            fate=Fate.OPEN if until is None else Fate.DONE,
            depth=depth,
        )
        for (label, at), until in zip(known, ends, strict=False)
    ]


def _folded(steps: Sequence[Step]) -> list[Step]:
    """Neighbouring phases that took no time share one row."""
    rows: list[Step] = []
    for step in steps:
        before = rows[-1] if rows else None
        if before is not None and _instant(before) and _instant(step):
            label = f"{before.label}, {step.label.lower()}"
            rows[-1] = replace(before, label=label, end=step.end)
        else:
            rows.append(step)
    return rows


def _instant(step: Step) -> bool:
    lasts = step.end is None or step.end - step.start >= INSTANT
    return step.kind is Kind.PHASE and step.fate is Fate.DONE and not lasts


def _row(step: Step, start: datetime, span: timedelta, last: datetime) -> Row:
    until = step.end or last
    left = min(_x(step.start, start, span), WIDTH - LEAST)
    width = max(_x(until, start, span) - left, LEAST)
    return Row(
        kind=step.kind,
        label=step.label,
        fate=step.fate,
        note=step.note,
        depth=step.depth,
        x=left,
        width=round(min(width, WIDTH - left), 1),
        after=max(step.start - start, timedelta()),
        lasted=max(until - step.start, timedelta()),
    )


def _x(moment: datetime, start: datetime, span: timedelta) -> float:
    return round(min(max((moment - start) / span, 0.0), 1.0) * WIDTH, 1)


def _ticks(span: timedelta) -> tuple[Tick, ...]:
    """Two to five round marks, the first at zero: so far apart that their words have room."""
    step = _round_step(span.total_seconds() / MARKS)
    count = int(span.total_seconds() / step)
    return tuple(
        Tick(
            x=round(n * step / span.total_seconds() * WIDTH, 1),
            after=timedelta(seconds=n * step),
        )
        for n in range(count + 1)
    )


def _round_step(seconds: float) -> float:
    """The least round distance that is not below `seconds`."""
    least = seconds * ALMOST
    if 1 <= least <= DAY:
        return next(float(step) for step in STEPS if step >= least)
    unit = DAY if least > DAY else 1.0
    power = 10.0 ** math.floor(math.log10(least / unit))
    return next(unit * power * n for n in DECIMAL if unit * power * n >= least)
