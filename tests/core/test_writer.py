"""The one writer of a SQLite process: patience, groups, and the log that it keeps short."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from django.db import connection, transaction

from apps.accounts.models import Organisation
from apps.core import database, transactions, writer
from apps.core.flags import Switch
from apps.core.sqlite import upkeep
from apps.core.tenancy import system
from apps.core.transactions import DiskFullError, LockTimeoutError
from apps.core.writer import Writer
from tests.switches import off

pytestmark = [
    pytest.mark.live,
    pytest.mark.usefixtures("committed"),
    pytest.mark.skipif(connection.vendor != "sqlite", reason="SQLite has one writer"),
]
TESTS = system("writer tests")


def add(slug: str) -> str:
    Organisation.objects.create(slug=slug, name=slug)
    return slug


async def slugs() -> set[str]:
    return await database.read(
        TESTS, lambda: set(Organisation.objects.values_list("slug", flat=True))
    )


@contextmanager
def another_process_writes() -> Iterator[None]:
    """A connection outside the turns, as a command's is."""
    other = sqlite3.connect(connection.settings_dict["NAME"], isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        other.close()


async def together(*units: Callable[[], Any]) -> list[Any]:
    """Run the units so that they wait at the same time; errors are among the results."""
    inside, go_on = threading.Event(), threading.Event()

    def gate() -> None:
        inside.set()
        assert go_on.wait(10)

    first = asyncio.ensure_future(database.write(TESTS, gate))
    assert await asyncio.to_thread(inside.wait, 10)
    waiting = [asyncio.ensure_future(database.write(TESTS, unit)) for unit in units]
    await asyncio.sleep(0.02)
    go_on.set()
    await first
    return await asyncio.wait_for(asyncio.gather(*waiting, return_exceptions=True), 30)


async def impatient(seconds: float) -> None:
    """The writer's connection waits no longer than this for another process."""

    def unit() -> None:
        connection.connection.execute(f"PRAGMA busy_timeout = {seconds * 1000:.0f}")

    await database.write(TESTS, unit)


async def test_who_meets_a_short_write_of_another_process_waits_for_it() -> None:
    await database.write(TESTS, lambda: None)
    with another_process_writes():
        late = asyncio.ensure_future(database.write(TESTS, lambda: add("late")))
        await asyncio.sleep(0.1)
        assert not late.done()

    assert await late == "late"


async def test_while_another_process_writes_a_whole_group_waits_once(
    monkeypatch,
) -> None:
    monkeypatch.delitem(transactions.RETRIED, LockTimeoutError)
    await impatient(0.2)
    with another_process_writes():
        began = time.monotonic()
        writes = [database.submit(TESTS, lambda n=n: add(f"o{n}")) for n in range(20)]  # type: ignore[misc]
        answers = await asyncio.gather(*writes, return_exceptions=True)
        took = time.monotonic() - began

    assert {type(answer) for answer in answers} == {LockTimeoutError}
    assert all(answer.retry_after for answer in answers)
    assert took < 10 * 0.2, "each waited by itself"
    assert await slugs() == set()


async def test_a_unit_that_waited_too_long_is_refused_and_the_newer_are_written(
    monkeypatch,
) -> None:
    monkeypatch.setattr(writer, "WAIT_SECONDS", 0.3)

    def slow() -> str:
        time.sleep(0.5)
        return add("slow")

    first = asyncio.ensure_future(database.write(TESTS, slow))
    await asyncio.sleep(0.05)
    old = asyncio.ensure_future(database.write(TESTS, lambda: add("old")))
    await asyncio.sleep(0.35)
    new = asyncio.ensure_future(database.write(TESTS, lambda: add("new")))

    with pytest.raises(LockTimeoutError):
        await old
    assert await asyncio.gather(first, new) == ["slow", "new"]
    assert await slugs() == {"slow", "new"}


async def commits_of(*units: Callable[[], Any]) -> int:
    """How many commits the units took."""
    commits: list[str] = []

    def trace(statement: str) -> None:
        if statement == "COMMIT":
            commits.append(statement)

    await database.write(TESTS, lambda: connection.connection.set_trace_callback(trace))
    await together(*units)
    return len(commits) - 2  # of the unit that traces, and of the gate


async def test_units_that_wait_together_share_one_commit() -> None:
    assert await commits_of(*(lambda n=n: add(f"o{n}") for n in range(10))) == 1  # type: ignore[misc]
    assert len(await slugs()) == 10


async def test_without_group_commit_each_unit_commits_alone() -> None:
    with off(Switch.GROUP_COMMIT):
        commits = await commits_of(*(lambda n=n: add(f"o{n}") for n in range(10)))  # type: ignore[misc]

    assert commits == 10
    assert len(await slugs()) == 10


@pytest.mark.mission_critical
async def test_when_the_disk_is_full_nothing_runs_on_in_the_lost_transaction() -> None:
    runs: list[str] = []

    def note(slug: str) -> str:
        runs.append(slug)
        return add(slug)

    def gives_up() -> None:
        connection.connection.execute("ROLLBACK")  # as SQLite does by itself
        raise connection.Database.OperationalError("database or disk is full")

    answers = await together(
        lambda: note("before"), gives_up, lambda: note("after"), lambda: note("last")
    )

    # What came after the loss did not run in the group, where each of its statements would
    # have been committed by itself: only `before` ran twice.
    assert answers[::2] == ["before", "after"]
    assert runs == ["before", "before", "after", "last"]
    assert await slugs() == {"before", "after", "last"}


@pytest.mark.mission_critical
async def test_a_full_disk_refuses_what_does_not_fit_and_lets_the_rest_go_on() -> None:
    before = await database.write(TESTS, lambda: add("before"))

    def limit(pages: int) -> int:
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA freelist_count")
            free = cursor.fetchone()[0]
            cursor.execute("PRAGMA page_count")
            cursor.execute(f"PRAGMA max_page_count = {pages or cursor.fetchone()[0]}")
        return int(free)

    def huge(name: str) -> None:
        Organisation.objects.create(slug=name, name="x" * 20_000_000)

    free = await database.write(TESTS, lambda: limit(0))
    answers = await together(
        lambda: add("small"), lambda: huge("a"), lambda: add("other"), lambda: huge("b")
    )

    assert answers[::2] == ["small", "other"]
    assert all(isinstance(answer, DiskFullError) for answer in answers[1::2]), free
    assert await slugs() == {before, "small", "other"}

    await database.write(TESTS, lambda: limit(2**30))
    assert await database.write(TESTS, lambda: add("later")) == "later"
    assert await database.read(TESTS, whole) == "ok"


def whole() -> str:
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA integrity_check")
        return str(cursor.fetchone()[0])


# -- the log -------------------------------------------------------------------------


@pytest.fixture
def serving(monkeypatch) -> Iterator[None]:
    """As in `manage.py serve`, with a writer that is idle soon."""
    monkeypatch.setattr(writer, "IDLE_SECONDS", 0.05)
    monkeypatch.setattr(database._role, "checkpoints", False)
    database.checkpoint_here()
    yield
    database.close()


def pages_in_log() -> tuple[int, int]:
    """Pages in the log, and how many of them were carried over."""
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA wal_checkpoint(NOOP)")
        _, pages, carried = cursor.fetchone()
    return pages, carried


def autocheckpoint() -> int:
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA wal_autocheckpoint")
        return int(cursor.fetchone()[0])


async def test_of_all_connections_only_the_servers_writer_makes_checkpoints(
    serving,
) -> None:
    def of_a_command() -> int:
        try:
            return autocheckpoint()
        finally:
            connection.close()

    assert await database.write(TESTS, autocheckpoint) == upkeep.CHECKPOINT_PAGES
    assert await database.read(TESTS, autocheckpoint) == 0
    assert await asyncio.to_thread(of_a_command) == 0


async def test_the_writer_of_a_command_makes_none(monkeypatch) -> None:
    monkeypatch.setattr(database._role, "checkpoints", False)

    assert await database.write(TESTS, autocheckpoint) == 0


async def test_an_idle_writer_carries_over_what_others_wrote(
    serving, monkeypatch
) -> None:
    carried: list[int] = []
    checkpoint = upkeep.checkpoint

    def counted(at: Any) -> None:
        checkpoint(at)
        carried.append(1)

    monkeypatch.setattr(upkeep, "checkpoint", counted)
    await database.write(TESTS, lambda: None)

    def page_of_django() -> None:
        with TESTS, transaction.atomic():
            add("a page's")
        connection.close()

    async def more_than(times: int) -> None:
        async with asyncio.timeout(10):
            while len(carried) <= times:  # noqa: ASYNC110 - another thread's work
                await asyncio.sleep(0.01)

    for _ in range(2):
        before = len(carried)
        await asyncio.to_thread(page_of_django)
        await more_than(before)
        connection_file = Path(connection.settings_dict["NAME"])
        with sqlite3.connect(f"file:{connection_file}?immutable=1", uri=True) as bare:
            # Without the log: what is seen here is in the database itself.
            found = bare.execute("SELECT count(*) FROM accounts_organisation")
            assert found.fetchone() == (1,)
        bare.close()
        await database.write(TESTS, lambda: Organisation.objects.all().delete())
        await more_than(len(carried))
    quiet = len(carried)
    await asyncio.sleep(0.2)

    assert len(carried) == quiet, "nothing was written, so nothing is to be done"


async def test_a_checkpoint_that_cannot_be_made_is_tried_again(
    serving, monkeypatch
) -> None:
    tries: list[int] = []

    def busy(_: Any) -> None:
        tries.append(1)
        raise connection.Database.OperationalError("database is locked")

    monkeypatch.setattr(
        upkeep, "checkpoint", lambda at: at.wrap_database_errors(busy)(at)
    )
    await database.write(TESTS, lambda: add("one"))

    async with asyncio.timeout(10):
        while len(tries) < 2:  # noqa: ASYNC110 - another thread's work
            await asyncio.sleep(0.01)

    assert await database.write(TESTS, lambda: add("two")) == "two"


def test_a_writer_that_never_wrote_closes() -> None:
    idle = Writer(checkpoints=False)
    idle.start()

    idle.close()

    assert not idle.is_alive()


@pytest.mark.regression
async def test_a_writer_that_stumbles_tells_everybody_and_goes_on(monkeypatch) -> None:
    """A fault in the writer's own code once ended the thread, and every later write hung."""

    def stumbles(*_: object) -> None:
        raise AssertionError("not thought of")

    with monkeypatch.context() as patch:
        patch.setattr(Writer, "_in_time", stumbles)
        with pytest.raises(AssertionError):
            await asyncio.wait_for(database.write(TESTS, lambda: 1), 10)

    assert await asyncio.wait_for(database.write(TESTS, lambda: 2), 10) == 2
