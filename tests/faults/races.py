"""Races on a real database, as a program: several writers go for the same execution at once.

`races.py stop N`: N times a stop, an end and the sweeper's end. `races.py prepare N` and then, in
several processes, `races.py sweep AT`: who handles what ran out. Prints JSON.
"""

from __future__ import annotations

import json
import os
import random
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import django

ROOT = Path(__file__).resolve().parents[2]
LOST_TO_ANOTHER = "lost"


def main() -> None:
    sys.path.insert(0, str(ROOT))
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "netra.settings")
    django.setup()
    act, number = sys.argv[1], float(sys.argv[2])
    json.dump(
        {"stop": stop, "prepare": prepare, "sweep": sweep}[act](number), sys.stdout
    )


def someone() -> Any:
    from apps.accounts.models import Organisation, User
    from tests import factories

    place = Organisation.objects.get(slug="acme")
    return factories.principal(User.objects.get(email="p0@acme.example"), place)


def stop(number: float) -> dict[str, int]:
    """One execution after the other, each with three who want to end it; how often who won."""
    from django.db import connections

    who, count, seed = someone(), Counter[str](), time.time_ns()
    chance = random.Random(seed)  # noqa: S311 - a race, no secret
    sys.stderr.write(f"seed {seed}\n")
    with ThreadPoolExecutor(3) as threads:
        for n in range(int(number)):
            count[_one_race(who, threads, chance, pending=n % 4 == 0)] += 1
        for _ in range(3):
            threads.submit(connections.close_all)
    return dict(count)


def _one_race(
    who: Any, threads: ThreadPoolExecutor, chance: random.Random, *, pending: bool
) -> str:
    from apps.executions import endings
    from apps.executions.states import TERMINAL, ExecutionState
    from tests import factories

    standing = factories.execution(who) if pending else factories.running(who)
    ready = threading.Barrier(3)

    def racing(work: Callable[[], object]) -> Callable[[], object]:
        pause = chance.random() * 0.004
        return lambda: _at_once(ready, pause, work)

    def cancel() -> object:
        return factories.unit(
            standing,
            lambda: endings.cancel(
                actor=who.actor, standing=factories.present(standing), reason="stop"
            ),
        )

    def finish() -> object:
        present = factories.present(standing)
        if present.state is ExecutionState.PENDING:
            present = factories.move(factories.claim(present), ExecutionState.RUNNING)
        return factories.finish(present).state

    def sweep_stop() -> object:
        row = factories.row(standing)
        if row.cancel_requested_at is None or row.state == "pending":
            return LOST_TO_ANOTHER
        return factories.finish(
            factories.present(standing), ExecutionState.CANCELLED
        ).state

    answers = list(
        threads.map(lambda work: work(), map(racing, (cancel, finish, sweep_stop)))
    )
    said = answers[0]
    if (
        factories.present(standing).state not in TERMINAL
    ):  # the end lost against the stop's note
        factories.finish(factories.present(standing), ExecutionState.CANCELLED)
    state = factories.present(standing).state
    ended = [each for each in answers[1:] if each != LOST_TO_ANOTHER]
    assert len(ended) <= 1, f"{answers} although one only can end it"
    assert said not in TERMINAL or said == state, (
        f"the stop was told {said}, it is {state}"
    )
    return state.value


def _at_once(
    ready: threading.Barrier, pause: float, work: Callable[[], object]
) -> object:
    from django.db import IntegrityError, OperationalError

    from apps.executions.errors import IllegalTransitionError, LeaseLostError

    ready.wait(10)
    time.sleep(pause)
    for _ in range(5):
        try:
            return work()
        except (LeaseLostError, IllegalTransitionError, IntegrityError, AssertionError):
            return LOST_TO_ANOTHER
        except (
            OperationalError
        ):  # a deadlock or a busy file: the product tries again as well
            time.sleep(0.02)
    return LOST_TO_ANOTHER


def prepare(number: float) -> dict[str, int]:
    """Leave executions behind whose lease, attempts or deadline ran out, a third each."""
    from django.utils import timezone

    from apps.executions.models import Execution
    from tests import factories
    from tests.factories import TESTS

    who, past = someone(), timezone.now() - timedelta(minutes=2)
    for n in range(int(number)):
        kind = n % 3
        values = {"timeout_seconds": 60 if kind == 2 else 3600}
        standing = factories.running(who, now=past, **values)
        if kind == 1:
            with TESTS:
                Execution.objects.filter(id=standing.id).update(max_attempts=1)
    return {"prepared": int(number)}


def sweep(at: float) -> dict[str, int]:
    """Sweep once, at that time of the clock; how many this process handled."""
    from apps.executions import recovery

    time.sleep(max(at - time.time(), 0))
    return {"handled": recovery.sweep()}


if __name__ == "__main__":
    main()
