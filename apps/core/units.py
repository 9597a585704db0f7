"""A unit of writing: one transaction in one scope, and what is known when its commit fails.

Threads and queues belong to `database` and `writer`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TypeVar

from django.db import Error, connection, transaction

from apps.core import faults
from apps.core.tenancy import Scope
from apps.core.transactions import (
    READ_BUDGET,
    RETRIED_READS,
    CommitUnknownError,
    DatabaseConnectionError,
    caused,
    classify,
    explained,
    retrying,
)

log = logging.getLogger(__name__)
Result = TypeVar("Result")
Proof = Callable[[Result], bool]


def write_now(
    scope: Scope, work: Callable[[], Result], *, proof: Proof[Result] | None = None
) -> Result:
    """Run `work` as one transaction in the calling thread (admin, commands, sweeper).

    Raises a TransactionError for what the database refuses. Where the connection breaks at the
    commit, nobody knows whether it happened: `proof` then looks for what the result says was
    written. Without one, CommitUnknownError is raised and nothing is tried again.
    """
    try:
        with scope:
            return committing(work)
    except CommitUnknownError as error:
        if proof is None:
            raise
        return _looked_up(scope, error, proof)
    except Error as error:
        told = explained(error)
        if told is error:
            raise
        raise told from error


def _looked_up(scope: Scope, error: CommitUnknownError, proof: Proof[Result]) -> Result:
    """The result, where it was stored; else an error that says it was not, so it may be repeated."""
    connection.close()
    result: Result = error.result  # type: ignore[assignment]  # of the same unit

    def look() -> bool:
        with scope, transaction.atomic():
            return proof(result)

    if retrying(look, budget=READ_BUDGET, table=RETRIED_READS):
        return result
    raise caused(DatabaseConnectionError, error)


def committing(work: Callable[[], Result]) -> Result:
    """Run `work` in a transaction; once it is committed, no bell can undo or repeat it."""
    committed: list[bool] = []
    results: list[Result] = []
    outermost = not connection.in_atomic_block
    try:
        with transaction.atomic():
            transaction.on_commit(lambda: committed.append(True), robust=True)
            faults.reach_once_committed("after_commit")
            results.append(work())
    except Exception as error:
        if committed:
            log.exception("a bell failed", extra={"action": "database.bell_failed"})
        elif outermost and results and _is_lost(error):
            explained(error)  # counted and logged as what it is
            unknown = caused(CommitUnknownError, error)
            assert isinstance(unknown, CommitUnknownError)
            unknown.result = results[0]
            raise unknown from error
        else:
            raise
    return results[0]


def _is_lost(error: Exception) -> bool:
    """Whether the connection went away, so that the commit's answer never came."""
    return isinstance(error, Error) and issubclass(
        classify(error), DatabaseConnectionError
    )
