"""How code on the event loop reaches the database: one hop for each unit of work.

On SQLite one writer thread commits waiting units together; on PostgreSQL a unit is a
transaction of its own in a bounded pool. Knows no tables.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from django.db import Error, close_old_connections, connection, transaction

from apps.core import circumstances
from apps.core.errors import UnavailableError
from apps.core.hub import hub
from apps.core.sqlite import upkeep
from apps.core.tenancy import Scope
from apps.core.transactions import READ_BUDGET, RETRIED_READS, explained, retrying
from apps.core.units import Proof, write_now
from apps.core.writer import QUEUE_LIMIT, Unit, Writer

__all__ = [
    "Proof",
    "checkpoint_here",
    "close",
    "read",
    "retrying",
    "submit",
    "write",
    "write_now",
]

log = logging.getLogger(__name__)
Result = TypeVar("Result")

READERS = 4
WRITERS = 8  # PostgreSQL only


async def write(
    scope: Scope, work: Callable[[], Result], *, proof: Proof[Result] | None = None
) -> Result:
    """Run `work` as one unit of writing and return its result once it is committed.

    Raises a TransactionError for what the database refuses. For `proof` see `units.write_now`.
    """
    return await submit(scope, work, proof=proof)


def submit(
    scope: Scope, work: Callable[[], Result], *, proof: Proof[Result] | None = None
) -> asyncio.Future[Result]:
    """Hand over a unit of writing at once; it runs whether or not somebody waits for it."""
    return _pools().write(scope, circumstances.carried(work), proof)


async def read(scope: Scope, work: Callable[[], Result]) -> Result:
    """Run `work`, which must not write, in a reader thread."""
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(_pools().readers, _reading, scope, work)


def _reading(scope: Scope, work: Callable[[], Result]) -> Result:
    return retrying(
        lambda: _read_once(scope, work), budget=READ_BUDGET, table=RETRIED_READS
    )


def _read_once(scope: Scope, work: Callable[[], Result]) -> Result:
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
        upkeep.only_queries(connection)
        _seen.raw = connection.connection


class _Pool(ThreadPoolExecutor):
    """Threads with a bounded line before them."""

    def submit(self, *call: Any, **options: Any) -> Future[Any]:
        if self._work_queue.qsize() >= QUEUE_LIMIT:
            raise UnavailableError("Too many requests are waiting.", retry_after=2)
        return super().submit(*call, **options)


class _Pools:
    """The threads of this process that talk to the database."""

    def __init__(self) -> None:
        self.readers = _Pool(READERS, "netra-reader")
        self._writer: Writer | None = None
        self._writers: _Pool | None = None
        if connection.vendor == "sqlite":
            self._writer = Writer(checkpoints=_role.checkpoints)
            self._writer.start()
        else:
            self._writers = _Pool(WRITERS, "netra-writer")

    def write(
        self, scope: Scope, work: Callable[[], Result], proof: Proof[Result] | None
    ) -> asyncio.Future[Result]:
        loop = asyncio.get_running_loop()
        if self._writers is not None:
            return loop.run_in_executor(self._writers, _writing, scope, work, proof)
        future: asyncio.Future[Result] = loop.create_future()

        def settle(result: Any, error: BaseException | None) -> None:
            _on_loop(loop, lambda: _resolve(future, result, error))

        assert self._writer is not None
        self._writer.post(Unit(scope, work, settle))
        return future

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
        if self._writers is not None:
            self._writers.shutdown(wait=True)
        self.readers.shutdown(wait=True)


def _writing(
    scope: Scope, work: Callable[[], Result], proof: Proof[Result] | None
) -> Result:
    close_old_connections()
    try:
        return retrying(lambda: write_now(scope, work, proof=proof))
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
    if future.done():  # nobody waits any more, or it was told already
        return
    if error is None:
        future.set_result(result)
    elif isinstance(error, Error):
        future.set_exception(explained(error))
    else:
        future.set_exception(error)


class _Role:
    """What this process does for a database that several share."""

    checkpoints = False


_role = _Role()


def checkpoint_here() -> None:
    """This process serves: its writer alone carries SQLite's log over. Before the first write."""
    _role.checkpoints = True


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
