"""The one writer of a SQLite process: it commits what waits together, and each unit fails alone.

PostgreSQL has no use for it.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from django.db import Error, connection, connections, transaction

from apps.core.errors import UnavailableError
from apps.core.flags import Switch, enabled
from apps.core.sqlite import upkeep
from apps.core.tenancy import Scope
from apps.core.transactions import (
    RETRIED,
    LockTimeoutError,
    caused,
    classify,
    explained,
    retrying,
)
from apps.core.units import committing, write_now

log = logging.getLogger(__name__)

GROUP_LIMIT = 64  # units that share one commit
QUEUE_LIMIT = 10_000  # units that may wait before writes are refused
WAIT_SECONDS = 10.0  # a unit that waited longer is refused: others wait behind it
IDLE_SECONDS = 5.0  # without a write, the log of everybody's writes is carried over
CLOSE_SECONDS = 10.0


@dataclass(slots=True)
class Unit:
    """Work that waits for its commit, and whom to tell."""

    scope: Scope
    work: Callable[[], Any]
    settle: Callable[[Any, BaseException | None], None]
    posted_at: float = field(default_factory=time.monotonic)
    result: Any = None
    error: BaseException | None = None


class Writer(threading.Thread):
    """Takes what waits and commits it together. Nobody is told before the commit."""

    def __init__(self, *, checkpoints: bool) -> None:
        super().__init__(name="netra-writer", daemon=True)
        self._waiting: queue.SimpleQueue[Unit | None] = queue.SimpleQueue()
        self._checkpoints = checkpoints
        self._checkpointing: object = None
        self._carried_over = 0

    def post(self, unit: Unit) -> None:
        """Queue a unit; raises UnavailableError when too many wait."""
        if self._waiting.qsize() >= QUEUE_LIMIT:
            raise UnavailableError("Too many writes are waiting.", retry_after=2)
        self._waiting.put(unit)

    def close(self) -> None:
        """Write what waits, then end."""
        self._waiting.put(None)
        self.join(CLOSE_SECONDS)

    def run(self) -> None:
        while True:
            try:
                unit = self._waiting.get(timeout=IDLE_SECONDS)
            except queue.Empty:
                self._carry_over()
                continue
            if unit is None:
                break
            self._serve(self._group_of(unit))
        connection.close()
        self._refuse_rest()

    def _serve(self, group: list[Unit]) -> None:
        """Write what is in time; whatever goes wrong, everybody hears of it and the thread lives."""
        try:
            self._commit(self._in_time(group))
        except Exception as error:
            log.exception("the writer stumbled", extra={"action": "database.stumbled"})
            for unit in group:
                unit.settle(None, error)

    def _group_of(self, first: Unit) -> list[Unit]:
        group = [first]
        limit = GROUP_LIMIT if enabled(Switch.GROUP_COMMIT) else 1
        while len(group) < limit and not self._waiting.empty():
            following = self._waiting.get()
            if following is None:
                self._waiting.put(None)
                break
            group.append(following)
        return group

    def _in_time(self, group: list[Unit]) -> list[Unit]:
        """The units that may still be run; the others hear at once that it was too late."""
        late = time.monotonic() - WAIT_SECONDS
        if group[0].posted_at > late:  # they wait in the order of their posting
            return group
        for unit in group:
            if unit.posted_at <= late:
                unit.settle(None, caused(LockTimeoutError, TimeoutError("in line")))
        return [unit for unit in group if unit.posted_at > late]

    def _refuse_rest(self) -> None:
        while not self._waiting.empty():
            if (unit := self._waiting.get()) is not None:
                unit.settle(None, UnavailableError("Netra is shutting down."))

    def _commit(self, group: list[Unit]) -> None:
        if not group:
            return
        try:
            self._take_up_checkpoints()
            _run_together(group)
        except Exception as error:  # noqa: BLE001 - each unit gets its own answer below
            _run_apart(group, error)
        for unit in group:
            unit.settle(unit.result, unit.error)

    def _take_up_checkpoints(self) -> None:
        """Of all connections only this one carries the log over, on whichever commit makes it long."""
        if not self._checkpoints:
            return
        connection.ensure_connection()
        if self._checkpointing is connection.connection:
            return
        upkeep.checkpoint_now_and_then(connection)
        self._checkpointing = connection.connection

    def _carry_over(self) -> None:
        """While nobody posts, pages and commands may write: their log must not grow for ever."""
        if not self._checkpoints:
            return
        database = connections[connection.alias]
        try:
            changed_at = upkeep.log_changed_at(database)
            if changed_at != self._carried_over:
                upkeep.checkpoint(database)
                self._carried_over = changed_at
        except Error as error:
            explained(error)  # counted and logged; the next idle moment tries again
        except Exception:
            log.exception(
                "the log was not carried over", extra={"action": "database.stumbled"}
            )


class _SharedTransactionLostError(Exception):
    """The database gave up a transaction that several units shared."""


def _run_apart(group: list[Unit], error: Exception) -> None:
    """The shared commit failed, so nothing of it is there: each unit tries alone."""
    if isinstance(error, Error) and issubclass(classify(error), LockTimeoutError):
        explained(error)
        # Another process writes and goes on writing; alone, each would wait as long again.
        for unit in group:
            unit.result, unit.error = None, caused(LockTimeoutError, error)
        return
    log.warning(
        "a group commit failed: %s", error, extra={"action": "database.group_failed"}
    )
    for unit in group:
        _run_alone(unit)


def _run_together(group: list[Unit]) -> None:
    if len(group) == 1:
        _run_alone(group[0])
        return
    committing(lambda: _run_in_savepoints(group))
    for unit in group:
        if isinstance(unit.error, Error):
            unit.error = explained(unit.error)
            if type(unit.error) in RETRIED:
                _run_alone(unit)


def _run_in_savepoints(group: list[Unit]) -> None:
    for unit in group:
        _run_in_savepoint(unit)
        if transaction.get_rollback():
            # A unit broke the shared transaction (SQLite rolls it back by itself when the disk
            # is full): what the others wrote is gone, although they saw no error. What came
            # after would be committed statement by statement.
            raise _SharedTransactionLostError("the shared transaction was rolled back")


def _run_in_savepoint(unit: Unit) -> None:
    unit.result = unit.error = None
    try:
        with unit.scope, transaction.atomic():
            unit.result = unit.work()
    except Exception as error:  # noqa: BLE001 - handed to whoever waits for the unit
        unit.error = error


def _run_alone(unit: Unit) -> None:
    unit.result = unit.error = None
    try:
        unit.result = retrying(lambda: write_now(unit.scope, unit.work))
    except Exception as error:  # noqa: BLE001 - handed to whoever waits for the unit
        unit.error = error
