"""Database errors told apart by what the database itself said, and the one retry.

A class of Django covers too much: each one here knows what a caller may hear and whether the
same transaction may succeed next time. What a unit of writing is belongs to `units`.
"""

from __future__ import annotations

import logging
import random
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from django.db import (
    DatabaseError,
    DataError,
    Error,
    IntegrityError,
    OperationalError,
    ProgrammingError,
    connection,
)

from apps.core.errors import NetraError

log = logging.getLogger(__name__)
Result = TypeVar("Result")

RETRY_AFTER = 2.0  # seconds that a client is asked to wait
BUDGET = 10.0  # seconds in which all tries of a transaction must have begun
READ_BUDGET = 5.0  # a reader's thread has others waiting for it
LONGEST_WAIT = 2.0
TELL_SECONDS = 1.0  # each class is logged at most this often

errors: Counter[str] = Counter()  # class → how often it came from the database
retries: Counter[str] = Counter()  # class → how often a transaction was run again


class TransactionError(NetraError, DatabaseError):
    """The database cannot answer right now."""

    code, status, retryable = "unavailable", 503, True
    fix = "Try again in a few seconds."


class DeadlockError(TransactionError, OperationalError):
    """Two changes waited for each other, and this one gave way."""

    code = "database_deadlock"


class SerializationError(TransactionError, OperationalError):
    """The data changed while it was being read."""

    code = "database_conflict"


class LockTimeoutError(TransactionError, OperationalError):
    """The database is busy: another change did not end in time."""

    code = "database_busy"


class DatabaseTimeoutError(TransactionError, OperationalError):
    """The database took too long to answer."""

    code = "database_timeout"


class DatabaseConnectionError(TransactionError, OperationalError):
    """The database cannot be reached right now."""

    code = "database_unreachable"


class CommitUnknownError(DatabaseConnectionError):
    """The connection broke while this was being stored, so it may or may not be there."""

    code, retryable = "commit_unknown", False
    fix = "Look whether it is there before you send it again."
    result: object = None


class ResourceError(TransactionError, OperationalError):
    """The database has no room for another request right now."""

    code = "database_overloaded"


class DiskFullError(ResourceError):
    """The disk is full, so nothing new can be stored; what is there can still be read."""

    code, retryable = "storage_full", False
    fix = "Tell your operator to free space; nothing that was confirmed is lost."


class ConstraintError(TransactionError, IntegrityError):
    """What is stored already does not allow this."""

    code, status, retryable = "conflict", 409, False
    fix = "Look at the present state and decide again."


class DuplicateError(ConstraintError):
    """Somebody else stored the same at the same moment."""

    retryable = True


class InvalidDataError(TransactionError, DataError):
    """A value cannot be stored: a character or number is out of range."""

    code, status, retryable = "invalid", 422, False
    fix = "Correct the value and send it again."


class ProgramError(TransactionError, ProgrammingError):
    """Something went wrong on our side."""

    code, status, retryable = "internal", 500, False
    fix = "Try again; if it happens again, tell support the reference."


class DatabaseConfigurationError(TransactionError, OperationalError):
    """The database cannot be used as it is set up."""

    code, retryable = "database_misconfigured", False
    fix = "Tell your operator to run manage.py doctor."


class CorruptionError(TransactionError):
    """The database is damaged, so nothing more is stored in it."""

    code, retryable = "database_damaged", False
    fix = "Tell your operator to stop Netra and restore a backup."


Kind = type[TransactionError]

SQLSTATES: Mapping[str, Kind] = {
    "40P01": DeadlockError,
    "40001": SerializationError,
    "55P03": LockTimeoutError,
    "57014": DatabaseTimeoutError,
    "57P01": DatabaseConnectionError,  # shut down by an administrator
    "57P02": DatabaseConnectionError,  # another session crashed
    "57P03": DatabaseConnectionError,  # starting or stopping
    "57P05": DatabaseConnectionError,  # idle for too long
    "25P03": DatabaseConnectionError,  # idle inside a transaction for too long
    "25006": DatabaseConfigurationError,  # a standby, which takes no writes
    "53100": DiskFullError,
    "23505": DuplicateError,
    # Two classes of states say the same of all that is in them.
    "08": DatabaseConnectionError,
    "22": InvalidDataError,
    "23": ConstraintError,
    "25": ProgramError,
    "28": DatabaseConfigurationError,
    "3D": DatabaseConfigurationError,
    "42": ProgramError,
    "53": ResourceError,
    "XX": CorruptionError,
}
SQLITE_NAMES: tuple[tuple[str, Kind], ...] = (
    ("SQLITE_BUSY_SNAPSHOT", SerializationError),
    ("SQLITE_BUSY", LockTimeoutError),
    ("SQLITE_LOCKED", LockTimeoutError),
    ("SQLITE_CONSTRAINT", ConstraintError),
    ("SQLITE_FULL", DiskFullError),
    ("SQLITE_IOERR", DiskFullError),
    ("SQLITE_NOMEM", ResourceError),
    ("SQLITE_READONLY", DatabaseConfigurationError),
    ("SQLITE_CANTOPEN", DatabaseConfigurationError),
    ("SQLITE_PERM", DatabaseConfigurationError),
    ("SQLITE_CORRUPT", CorruptionError),
    ("SQLITE_NOTADB", CorruptionError),
    ("SQLITE_TOOBIG", InvalidDataError),
    ("SQLITE_MISMATCH", InvalidDataError),
    ("SQLITE_INTERRUPT", DatabaseTimeoutError),
    ("SQLITE_", ProgramError),  # SQLITE_ERROR is "no such table", SQLITE_MISUSE is ours
)
# PostgreSQL gives no state to whoever it does not let in.
CONNECT_WORDS: tuple[tuple[str, Kind], ...] = (
    ("too many clients", ResourceError),
    ("too many connections", ResourceError),
    ("remaining connection slots", ResourceError),
    ("starting up", DatabaseConnectionError),
    ("shutting down", DatabaseConnectionError),
    ("does not exist", DatabaseConfigurationError),
    ("authentication failed", DatabaseConfigurationError),
    ("no pg_hba.conf entry", DatabaseConfigurationError),
    ("is not permitted to log in", DatabaseConfigurationError),
)


def classify(error: BaseException) -> Kind:
    """Which class an error of Django or of a driver belongs to."""
    if isinstance(error, TransactionError):
        return type(error)
    cause = error if _is_of_driver(error) else error.__cause__
    if name := getattr(cause, "sqlite_errorname", ""):
        return next(kind for start, kind in SQLITE_NAMES if name.startswith(start))
    if state := getattr(cause, "sqlstate", None):
        return SQLSTATES.get(state) or SQLSTATES.get(state[:2], TransactionError)
    if isinstance(error, OperationalError) or _is_of_driver(error):
        return _without_state(cause)
    return next(
        (kind for django, kind in BY_DJANGO if isinstance(error, django)),
        TransactionError,
    )


# What carries no state at all: found by Django itself, or by the driver before it asked.
BY_DJANGO: tuple[tuple[type[Error], Kind], ...] = (
    (IntegrityError, ConstraintError),
    (DataError, InvalidDataError),
    (ProgrammingError, ProgramError),
)


def _is_of_driver(error: BaseException | None) -> bool:
    return hasattr(error, "sqlstate") or hasattr(error, "sqlite_errorname")


def _without_state(cause: BaseException | None) -> Kind:
    """An error on the way to PostgreSQL, or one whose connection was gone."""
    if not hasattr(cause, "sqlstate"):
        return TransactionError
    said = str(cause).lower()
    return next(
        (kind for words, kind in CONNECT_WORDS if words in said),
        DatabaseConnectionError,
    )


def explained(error: Exception) -> TransactionError:
    """The error as one of ours, counted and logged; what the database said is its cause."""
    if isinstance(error, TransactionError):
        return error
    kind = classify(error)
    errors[kind.__name__] += 1
    _tell(kind, error)
    return caused(kind, error)


def caused(kind: Kind, cause: BaseException) -> TransactionError:
    """An error of `kind` for whoever waits; what the database said stays with support."""
    made = kind(retry_after=RETRY_AFTER if kind.status >= OURS else None)
    made.__cause__ = cause
    return made


# After these a receipt would only wait, and fail, as well.
FAILING = (
    LockTimeoutError,
    DatabaseTimeoutError,
    DatabaseConnectionError,
    ResourceError,
    DatabaseConfigurationError,
    CorruptionError,
)


def is_failing(error: BaseException) -> bool:
    """Whether the database fails at large, so that nothing can be stored about it either."""
    return isinstance(error, FAILING)


OURS = 500  # below, the caller's own data is the reason, and the caller is told
LEVELS: Mapping[Kind, int] = {
    ProgramError: logging.ERROR,
    DiskFullError: logging.ERROR,
    DatabaseConfigurationError: logging.ERROR,
    CorruptionError: logging.CRITICAL,
}
_told: dict[Kind, float] = {}


def _tell(kind: Kind, error: Exception) -> None:
    now = time.monotonic()
    if kind.status < OURS or now - _told.get(kind, -TELL_SECONDS) < TELL_SECONDS:
        return
    _told[kind] = now
    log.log(
        LEVELS.get(kind, logging.WARNING),
        "%s: %s",
        kind.__name__,
        " ".join(str(error).split()),
        exc_info=error if kind is ProgramError else None,
        extra={"action": "database.error", "times": errors[kind.__name__]},
    )


@dataclass(frozen=True, slots=True)
class Patience:
    """How often a transaction is run again, and the most that its first wait may take."""

    times: int
    first: float


RETRIED: Mapping[Kind, Patience] = {
    DeadlockError: Patience(5, 0.02),
    SerializationError: Patience(5, 0.02),
    DuplicateError: Patience(2, 0.02),  # run again, it finds what the other one stored
    LockTimeoutError: Patience(3, 0.1),
    DatabaseConnectionError: Patience(8, 0.2),
    ResourceError: Patience(5, 0.5),
}
RETRIED_READS: Mapping[Kind, Patience] = {
    **RETRIED,
    DatabaseTimeoutError: Patience(1, 0.02),
}


def retrying(
    work: Callable[[], Result],
    *,
    budget: float = BUDGET,
    table: Mapping[Kind, Patience] = RETRIED,
) -> Result:
    """Run a whole outermost transaction, again where its error is one that passes.

    Inside an open transaction it runs once: what came before it would not be run again.
    """
    last_begin = time.monotonic() + budget
    tries = 0
    while True:
        try:
            return work()
        except Error as raw:
            error = explained(raw)
            wait = _wait(table.get(type(error)), tries)
            if (
                wait is None
                or connection.in_atomic_block
                or time.monotonic() + wait > last_begin
            ):
                if error is raw:
                    raise
                raise error from raw
        tries += 1
        retries[type(error).__name__] += 1
        if isinstance(error, DatabaseConnectionError):
            connection.close()
        time.sleep(wait)


def _wait(patience: Patience | None, tries: int) -> float | None:
    """A random part of a time that doubles, so that those who met do not meet again."""
    if patience is None or tries >= patience.times:
        return None
    longest = min(LONGEST_WAIT, patience.first * 2**tries)
    return random.uniform(0, longest)  # noqa: S311 - spreads tries, keeps no secret
