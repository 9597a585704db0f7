"""How long one context and one tracker view take to make: the bar is 10 µs each.

    python bench/creation.py [--number 9000] [--rounds 9]

No server and no database: contexts and views are values and memory. Each round makes
`number` of a kind; shown are the median and the best round, in microseconds for one.
Exit 1 where the best round misses the bar.
"""

from __future__ import annotations

import argparse
import gc
import os
import statistics
import sys
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from turns import table

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
BAR_MICROSECONDS = 10.0


@dataclass(frozen=True)
class Somebody:
    """What the factory needs of whoever proved who they are."""

    user_id: uuid.UUID = field(default_factory=uuid.uuid4)
    organisation_id: uuid.UUID = field(default_factory=uuid.uuid4)
    tier: str = "mid"


def kinds(number: int) -> dict[str, Callable[[], object]]:
    """Name → what makes one, each time another one."""
    # Settings must be there before these are imported.
    from apps.executions.contexts import UserExecutionContext  # noqa: PLC0415
    from apps.executions.tracker import get_execution_tracker  # noqa: PLC0415

    who, thread, run = Somebody(), uuid.uuid4(), uuid.uuid4()

    def context(of: Somebody = who) -> UserExecutionContext:
        return UserExecutionContext.for_principal(of, thread_id=thread, run_id=run)

    one = context()
    people = iter([context(Somebody()) for _ in range(number)])
    return {
        "context": context,
        "child context": lambda: one.child("step"),
        "new view": lambda: get_execution_tracker(next(people)),
        "same view again": lambda: get_execution_tracker(one),
    }


def microseconds(make: Callable[[], object], number: int) -> float:
    gc.collect()
    gc.disable()
    try:
        began = time.thread_time()  # not what other processes take meanwhile
        for _ in range(number):
            make()
        return (time.thread_time() - began) / number * 1e6
    finally:
        gc.enable()


def main(number: int, rounds: int) -> int:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "netra.settings")
    import django  # noqa: PLC0415 - after the settings are named

    django.setup()
    found: dict[str, list[float]] = {}
    for _ in range(rounds):
        for name, make in kinds(number).items():
            found.setdefault(name, []).append(microseconds(make, number))
    missed = [name for name, times in found.items() if min(times) > BAR_MICROSECONDS]
    rows = [
        {
            "what": name,
            "median µs": f"{statistics.median(times):.1f}",
            "best µs": f"{min(times):.1f}",
            "bar µs": f"{BAR_MICROSECONDS:.0f}",
            "held": "no" if name in missed else "yes",
        }
        for name, times in found.items()
    ]
    print(table(rows, list(rows[0])))
    return 1 if missed else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--number", type=int, default=9_000)
    parser.add_argument("--rounds", type=int, default=9)
    asked = parser.parse_args()
    sys.exit(main(asked.number, asked.rounds))
