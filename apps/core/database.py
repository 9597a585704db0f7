"""How code on the event loop reaches the database: one hop for each unit of work.

On SQLite one writer thread commits waiting units together; on PostgreSQL a unit is a
transaction of its own in a bounded pool. Knows no tables.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar

from django.db import DatabaseError, close_old_connections, connection, transaction

from apps.core.errors import UnavailableError
from apps.core.hub import hub
from apps.core.tenancy import Scope

log = logging.getLogger(__name__)
Result = TypeVar("Result")

GROUP_LIMIT = 64  # units that share one commit
QUEUE_LIMIT = 10_000  # units that may wait before writes are refused
READERS = 4
WRITERS = 8  # PostgreSQL only
ATTEMPTS = 3


@dataclass(slots=True)
class _Unit:
    scope: Scope
    work: Callable[[], Any]
    settle: Callable[[Any, BaseException | None], None]
    result: Any = None
    error: BaseException | None = None
    done: bool = field(default=False)


def write_now(scope: Scope, work: Callable[[], Result]) -> Result:
    """Run `work` as one transaction in the calling thread (admin, commands, sweeper)."""
    with scope:
        return _committing(work)


def _committing(work: Callable[[], Result]) -> Result:
    """Run `work` in a transaction; once it is committed, no bell can undo or repeat it."""
    committed: list[bool] = []
    try:
        with transaction.atomic():
            transaction.on_commit(lambda: committed.append(True), robust=True)
            result = work()
    except Exception:
        if not committed:
            raise
        log.exception("a bell failed", extra={"action": "database.bell_failed"})
    return result


async def write(scope: Scope, work: Callable[[], Result]) -> Result:
    """Run `work` as one unit of writing and return its result once it is committed."""
    return await submit(scope, work)


def submit(scope: Scope, work: Callable[[], Result]) -> asyncio.Future[Result]:
    """Hand over a unit of writing at once; it runs whether or not somebody waits for it."""
    return _pools().write(scope, work)


async def read(scope: Scope, work: Callable[[], Result]) -> Result:
    """Run `work`, which must not write, in a reader thread."""
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(_pools().readers, _reading, scope, work)


def _reading(scope: Scope, work: Callable[[], Result]) -> Result:
    if connection.vendor == "sqlite":
        _only_queries()
        with scope:
            return work()
    close_old_connections()
    try:
        with scope, transaction.atomic():
            return work()
    finally:
        close_old_connections()


class _Seen(threading.local):
    """For each thread, the raw connection that was already made read-only."""

    raw: object = None


_seen = _Seen()


def _only_queries() -> None:
    connection.ensure_connection()
    if _seen.raw is not connection.connection:
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA query_only = ON")
        _seen.raw = connection.connection


class _Writer(threading.Thread):
    """The one writer of a SQLite process: takes what waits and commits it together."""

    def __init__(self) -> None:
        super().__init__(name="netra-writer", daemon=True)
        self._waiting: queue.SimpleQueue[_Unit | None] = queue.SimpleQueue()

    def post(self, unit: _Unit) -> None:
        if self._waiting.qsize() >= QUEUE_LIMIT:
            raise UnavailableError("Too many writes are waiting.", retry_after=2)
        self._waiting.put(unit)

    def close(self) -> None:
        self._waiting.put(None)
        self.join(10)

    def run(self) -> None:
        while (unit := self._waiting.get()) is not None:
            group = [unit]
            while len(group) < GROUP_LIMIT and not self._waiting.empty():
                following = self._waiting.get()
                if following is None:
                    self._waiting.put(None)
                    break
                group.append(following)
            self._commit(group)
        connection.close()
        self._refuse_rest()

    def _refuse_rest(self) -> None:
        while not self._waiting.empty():
            if (unit := self._waiting.get()) is not None:
                unit.settle(None, UnavailableError("Netra is shutting down."))

    def _commit(self, group: list[_Unit]) -> None:
        try:
            _run_together(group)
        except Exception as error:  # noqa: BLE001 - each unit gets its own answer below
            # The shared commit failed, so nothing of it is there: each unit tries alone.
            log.warning(
                "a group commit failed: %s",
                error,
                extra={"action": "database.group_failed"},
            )
            for unit in group:
                _run_alone(unit)
        for unit in group:
            unit.settle(unit.result, unit.error)


class _SharedTransactionLostError(Exception):
    """The database gave up a transaction that several units shared."""


def _run_together(group: list[_Unit]) -> None:
    if len(group) == 1:
        _run_alone(group[0])
        return
    _committing(lambda: _run_in_savepoints(group))
    again = [
        unit
        for unit in group
        if isinstance(unit.error, DatabaseError) and is_transient(unit.error)
    ]
    for unit in again:
        _run_alone(unit)


def _run_in_savepoints(group: list[_Unit]) -> None:
    for unit in group:
        _run_in_savepoint(unit)
    if transaction.get_rollback():
        # A unit broke the shared transaction (SQLite rolls it back by itself when the disk is
        # full): what the others wrote before it is gone, although they saw no error.
        raise _SharedTransactionLostError("the shared transaction was rolled back")


def _run_in_savepoint(unit: _Unit) -> None:
    unit.result = unit.error = None
    try:
        with unit.scope, transaction.atomic():
            unit.result = unit.work()
    except Exception as error:  # noqa: BLE001 - handed to whoever waits for the unit
        unit.error = error


def _run_alone(unit: _Unit) -> None:
    unit.result = unit.error = None
    try:
        unit.result = retrying(lambda: write_now(unit.scope, unit.work))
    except Exception as error:  # noqa: BLE001 - handed to whoever waits for the unit
        unit.error = error


def retrying(work: Callable[[], Result]) -> Result:
    """Run a whole outermost transaction; again, at most twice, after a passing conflict."""
    for attempt in range(1, ATTEMPTS):
        try:
            return work()
        except DatabaseError as error:
            if not is_transient(error) or connection.in_atomic_block:
                raise
            time.sleep(0.05 * attempt)
    return work()


def is_transient(error: DatabaseError) -> bool:
    """A deadlock, serialization conflict or lock wait: the same work may succeed next time."""
    cause = error.__cause__
    state = getattr(cause, "sqlstate", None)
    if state is not None:
        # 23505: two units wrote the same key at once; run again, the later one finds it.
        return state in {"40P01", "40001", "55P03", "23505"}
    name = getattr(cause, "sqlite_errorname", "")
    return name in {"SQLITE_BUSY", "SQLITE_BUSY_SNAPSHOT", "SQLITE_LOCKED"}


class _Pools:
    """The threads of this process that talk to the database."""

    def __init__(self) -> None:
        self.readers = ThreadPoolExecutor(READERS, "netra-reader")
        self._writer: _Writer | None = None
        self._writers: ThreadPoolExecutor | None = None
        if connection.vendor == "sqlite":
            self._writer = _Writer()
            self._writer.start()
        else:
            self._writers = ThreadPoolExecutor(WRITERS, "netra-writer")

    def write(self, scope: Scope, work: Callable[[], Result]) -> asyncio.Future[Result]:
        loop = asyncio.get_running_loop()
        if self._writers is not None:
            return loop.run_in_executor(self._writers, _writing, scope, work)
        future: asyncio.Future[Result] = loop.create_future()

        def settle(result: Any, error: BaseException | None) -> None:
            _on_loop(loop, lambda: _resolve(future, result, error))

        assert self._writer is not None
        self._writer.post(_Unit(scope, work, settle))
        return future

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
        if self._writers is not None:
            self._writers.shutdown(wait=True)
        self.readers.shutdown(wait=True)


def _writing(scope: Scope, work: Callable[[], Result]) -> Result:
    close_old_connections()
    try:
        return retrying(lambda: write_now(scope, work))
    finally:
        close_old_connections()


def _on_loop(loop: asyncio.AbstractEventLoop, call: Callable[[], None]) -> None:
    # Through the hub's box when it serves this loop, so that one wake-up carries a whole
    # group and answers keep their order with the hints of the same commit.
    if hub.loop is loop:
        hub.run_on_loop(call)
        return
    try:
        loop.call_soon_threadsafe(call)
    except RuntimeError:
        log.info(
            "nobody waits for an answer any more", extra={"action": "database.late"}
        )


def _resolve(
    future: asyncio.Future[Result], result: Result, error: BaseException | None
) -> None:
    if future.cancelled():
        return
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(result)


_current: _Pools | None = None
_lock = threading.Lock()


def _pools() -> _Pools:
    global _current  # noqa: PLW0603 - one set of threads for each process
    with _lock:
        if _current is None:
            _current = _Pools()
        return _current


def close() -> None:
    """End the threads and their connections (at the end of the process, and in tests)."""
    global _current
    with _lock:
        pools, _current = _current, None
    if pools is not None:
        pools.close()
