"""Whoever writes SQLite takes a turn: in order, bounded, and given back whatever happens."""

from __future__ import annotations

import asyncio
import signal
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django.db import OperationalError, connection, transaction

from apps.accounts.models import Organisation
from apps.core import database
from apps.core.sqlite.turns import Turns, turns_of
from apps.core.tenancy import system
from apps.core.transactions import RETRIED, LockTimeoutError, classify
from tests.core.real_errors import closing, error_of, on_sqlite, run

TESTS = system("turn tests")
on_sqlite_only = pytest.mark.skipif(
    connection.vendor != "sqlite", reason="only SQLite has turns"
)


def in_thread(call: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=call, daemon=True)
    thread.start()
    return thread


def until(claim: Callable[[], object]) -> None:
    give_up = time.monotonic() + 10
    while not claim():
        assert time.monotonic() < give_up
        time.sleep(0.002)


# -- the line ------------------------------------------------------------------------


def test_turns_come_in_the_order_of_asking() -> None:
    turns, order = Turns(), []
    assert turns.take(0)

    def ask(number: int) -> None:
        assert turns.take(10)
        order.append(number)
        turns.pass_on()

    threads = []
    for number in range(20):
        threads.append(in_thread(lambda n=number: ask(n)))  # type: ignore[misc]
        until(lambda n=number: len(turns._waiting) == n + 1)  # type: ignore[misc]
    turns.pass_on()
    for thread in threads:
        thread.join(10)

    assert order == list(range(20))
    assert turns.take(0)


def test_who_waits_too_long_leaves_the_line() -> None:
    turns = Turns()
    assert turns.take(0)
    late: list[bool] = []

    in_thread(lambda: late.append(turns.take(0.02))).join(10)

    assert late == [False]
    turns.pass_on()
    assert turns.take(0), "nobody who left may be given the turn"


def test_who_is_interrupted_leaves_the_line() -> None:
    turns = Turns()
    assert turns.take(0)

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 0.02)
    try:
        with pytest.raises(KeyboardInterrupt):
            turns.take(10)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    turns.pass_on()

    assert turns.take(0), "nobody who left may be given the turn"


def test_a_turn_of_a_thread_that_is_gone_is_inherited() -> None:
    turns = Turns()
    in_thread(lambda: turns.take(0)).join(10)

    assert turns.take(0.01)


def test_each_database_has_one_line() -> None:
    assert turns_of("/a") is turns_of("/a")
    assert turns_of("/a") is not turns_of("/b")


# -- the connection ------------------------------------------------------------------


@pytest.fixture
def file(tmp_path: Path, django_db_blocker) -> Iterator[Path]:
    file = tmp_path / "turns.sqlite3"
    with django_db_blocker.unblock():
        made = on_sqlite(file)
        with closing(made):
            run(made, "CREATE TABLE thing (id INTEGER PRIMARY KEY, n INT)")
        yield file


def free(file: Path) -> bool:
    return turns_of(str(file))._holder is None


def begin(at) -> None:
    at.set_autocommit(False, force_begin_transaction_with_broken_autocommit=True)


@pytest.mark.parametrize("end", ["commit", "rollback", "close"])
def test_a_turn_is_held_from_begin_to_the_end(end: str, file: Path) -> None:
    at = on_sqlite(file)
    begin(at)
    assert not free(file)

    getattr(at, end)()

    assert free(file)
    at.close()


def test_a_turn_is_given_back_when_begin_fails(file: Path) -> None:
    other = sqlite3.connect(file, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    at = on_sqlite(file, timeout=0.01)

    error = error_of(lambda: begin(at))

    assert classify(error) is LockTimeoutError
    assert free(file)
    other.close()
    at.close()


def test_a_turn_is_given_back_when_the_commit_fails(file: Path) -> None:
    at = on_sqlite(file)
    with closing(at):
        run(
            at,
            "CREATE TABLE part (thing INT REFERENCES thing DEFERRABLE INITIALLY DEFERRED)",
        )
        begin(at)
        run(at, "INSERT INTO part VALUES (99)")

        error_of(at.commit)
        assert not free(file), "the transaction is still open"
        at.rollback()

    assert free(file)


def test_two_connections_of_a_process_meet_before_sqlite(file: Path) -> None:
    one, two = on_sqlite(file), on_sqlite(file, timeout=0.02)
    with closing(one, two):
        begin(one)

        error = error_of(lambda: begin(two))
        outside = error_of(lambda: run(two, "INSERT INTO thing VALUES (1, 1)"))
        readable = run(two, "SELECT count(*) FROM thing")

    assert "another thread" in str(error)
    assert "another thread" in str(outside)
    assert classify(error) is classify(outside) is LockTimeoutError
    assert readable == [(0,)]


def test_a_write_outside_a_transaction_takes_a_turn_and_keeps_its_rows(
    file: Path,
) -> None:
    at = on_sqlite(file)
    insert = "INSERT INTO thing VALUES (1, 10), (2, 20), (3, 30) RETURNING n"
    with closing(at), at.cursor() as cursor:
        cursor.execute(insert)

        assert free(file), "it committed when it returned"
        with sqlite3.connect(file) as other:
            assert other.execute("SELECT count(*) FROM thing").fetchone() == (3,)
        assert cursor.fetchone() == (10,)
        assert cursor.fetchmany(1) == [(20,)]
        assert cursor.fetchall() == [(30,)]
        assert cursor.fetchone() is None
        cursor.execute("SELECT n FROM thing ORDER BY n DESC")
        assert cursor.fetchone() == (30,)
        assert cursor.fetchmany(1) == [(20,)]
        assert cursor.fetchall() == [(10,)]


def test_many_rows_outside_a_transaction_take_one_turn(file: Path) -> None:
    one, two = on_sqlite(file), on_sqlite(file, timeout=0.01)
    many = "INSERT INTO thing VALUES (%s, %s)"
    with closing(one, two), one.cursor() as cursor, two.cursor() as blocked:
        cursor.executemany(many, [(1, 1), (2, 2)])
        assert free(file)
        begin(one)
        with pytest.raises(OperationalError, match="another thread"):
            blocked.executemany(many, [(3, 3)])
        cursor.executemany(many, [(3, 3)])
        one.commit()

    assert free(file)


# -- beside the writer ---------------------------------------------------------------


def impatient() -> None:
    """Of this thread's connection: SQLite's own wait is off, so whoever meets another fails."""
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA busy_timeout = 0")


def write_a_lot(thread: int, failed: list[Exception]) -> None:
    try:
        impatient()
        with TESTS:
            for n in range(15):
                name = f"t{thread}-{n}"
                Organisation.objects.create(slug=name, name=name)  # by itself
                with transaction.atomic():
                    Organisation.objects.filter(slug=name).update(name="changed")
    except Exception as error:  # noqa: BLE001 - told to the test
        failed.append(error)
    finally:
        connection.close()


async def write_beside_the_writer() -> list[Exception]:
    failed: list[Exception] = []
    await database.write(TESTS, lambda: None)  # the writer has its connection
    threads = [in_thread(lambda t=t: write_a_lot(t, failed)) for t in range(8)]  # type: ignore[misc]
    written = 0

    def unit() -> None:
        impatient()
        Organisation.objects.create(slug=f"w{written}", name="w")

    while any(thread.is_alive() for thread in threads):
        written += 1
        try:
            await database.write(TESTS, unit)
        except Exception as error:  # noqa: BLE001 - told to the test
            failed.append(error)
        await asyncio.sleep(0)
    return failed


@on_sqlite_only
@pytest.mark.live
@pytest.mark.mission_critical
async def test_nobody_beside_the_writer_ever_meets_another_in_sqlite(committed) -> None:
    assert await write_beside_the_writer() == []

    changed = await database.read(
        TESTS, Organisation.objects.filter(name="changed").count
    )
    assert changed == 8 * 15


@on_sqlite_only
@pytest.mark.live
async def test_without_turns_they_would_meet(committed, monkeypatch) -> None:
    monkeypatch.setattr(Turns, "take", lambda self, seconds: True)
    monkeypatch.setattr(Turns, "pass_on", lambda self: None)
    monkeypatch.delitem(RETRIED, LockTimeoutError)

    failed = await write_beside_the_writer()

    assert failed
    assert all(classify(error) is LockTimeoutError for error in failed)
