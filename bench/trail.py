"""How fast the sealed trail is: entries a second, rows verified a second, and what a turn pays for its end.

    python bench/trail.py [--entries 5000] [--writers 8] [--database sqlite|URL]

Uses an installation and a database of its own, which are gone afterwards. Exit code 0: the goals
of docs/trail.md are met, 1: one is not.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
ENTRIES_GOAL, ROWS_GOAL = 500, 20_000


def prepared(database: str) -> None:
    """Point Netra at a fresh database and migrate it."""
    sys.path.insert(0, str(ROOT))
    os.environ["DJANGO_SETTINGS_MODULE"] = "netra.settings"
    os.environ["NETRA_DATABASE_URL"] = database
    import django  # noqa: PLC0415 - the settings read the environment
    from django.core.management import call_command  # noqa: PLC0415

    django.setup()
    call_command("migrate", verbosity=0)


@contextmanager
def scratch(database: str) -> Iterator[str]:
    """The address of a database that nobody else uses."""
    with tempfile.TemporaryDirectory(prefix="netra-trail-") as folder:
        os.environ["NETRA_VAR"] = folder
        if database == "sqlite":
            yield f"sqlite:///{folder}/trail.sqlite3"
            return
        import psycopg  # noqa: PLC0415 - only where it is asked for

        name = f"netra_bench_{uuid.uuid4().hex[:12]}"
        base = database.rpartition("/")[0]
        with psycopg.connect(database, autocommit=True) as raw:
            raw.execute(f'CREATE DATABASE "{name}"')
            try:
                yield f"{base}/{name}"
            finally:
                from django.db import connections  # noqa: PLC0415

                for each in connections.all():
                    each.close()
                    if hasattr(each, "close_pool"):
                        each.close_pool()
                raw.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Seconds on the wall and of CPU."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - cpu


def grow(chain_id: uuid.UUID, entries: int) -> None:
    from django.db import connection  # noqa: PLC0415

    from apps.audits import trail  # noqa: PLC0415
    from apps.audits.acts import Act  # noqa: PLC0415
    from apps.core.actors import Actor  # noqa: PLC0415
    from apps.core.database import write_now  # noqa: PLC0415
    from apps.core.tenancy import tenant  # noqa: PLC0415

    actor, scope = Actor.user(uuid.uuid4(), "alice@acme.example"), tenant(chain_id)
    try:
        for n in range(entries):
            write_now(
                scope,
                lambda n=n: trail.record(  # type: ignore[misc]
                    Act.ROLE_CHANGED, actor=actor, organisation_id=chain_id,
                    target=f"membership:{uuid.uuid4()}", before="member", after="admin", n=n,
                ),
            )  # fmt: skip
    finally:
        connection.close()


def together(chain_id: uuid.UUID, entries: int, writers: int) -> None:
    threads = [
        threading.Thread(target=grow, args=(chain_id, entries // writers))
        for _ in range(writers)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def verify(chain_id: uuid.UUID) -> int:
    from apps.audits import verification  # noqa: PLC0415

    damage: list[verification.Damage] = []
    tally = verification.verify(
        chain_id, file=None, since=1, tell=damage.append, watch=lambda _: None
    )
    assert not damage, damage
    return tally.entries


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--entries", type=int, default=5_000)
    parser.add_argument("--writers", type=int, default=8)
    parser.add_argument("--database", default="sqlite")
    options = parser.parse_args()
    with scratch(options.database) as address:
        prepared(address)
        one, many = uuid.uuid4(), uuid.uuid4()
        wall, cpu = timed(lambda: grow(one, options.entries))
        speed = options.entries / wall
        print(
            f"one writer: {speed:,.0f} entries/s, {cpu / options.entries * 1e6:.0f} us CPU each"
        )
        wall, _ = timed(lambda: together(many, options.entries, options.writers))
        print(
            f"{options.writers} writers on one chain: {options.entries / wall:,.0f} entries/s"
        )
        found = verify(many)
        wall, cpu = timed(lambda: verify(one))
        rows = options.entries / wall
        print(
            f"verification: {rows:,.0f} rows/s, {options.entries / cpu:,.0f} a CPU second; of {options.writers} writers {found} hold"
        )
    met = speed >= ENTRIES_GOAL and rows >= ROWS_GOAL
    print(
        f"goals: {ENTRIES_GOAL} entries/s, {ROWS_GOAL:,} rows/s: {'met' if met else 'MISSED'}"
    )
    return 0 if met else 1


if __name__ == "__main__":
    raise SystemExit(main())
