"""Which class an error belongs to, what its caller hears, and which are tried again, how often."""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Iterator

import psycopg
import pytest
from django.db import (
    DatabaseError,
    DataError,
    Error,
    IntegrityError,
    InterfaceError,
    InternalError,
    OperationalError,
    ProgrammingError,
    connection,
    transaction,
)

from apps.core import transactions
from apps.core.errors import NetraError
from apps.core.transactions import (
    RETRIED,
    RETRIED_READS,
    CommitUnknownError,
    ConstraintError,
    CorruptionError,
    DatabaseConfigurationError,
    DatabaseConnectionError,
    DatabaseTimeoutError,
    DeadlockError,
    DiskFullError,
    DuplicateError,
    InvalidDataError,
    Kind,
    LockTimeoutError,
    ProgramError,
    ResourceError,
    SerializationError,
    TransactionError,
    classify,
    explained,
    retrying,
)


def subclasses(kind: Kind) -> set[Kind]:
    return {kind}.union(*(subclasses(each) for each in kind.__subclasses__()))


KINDS = sorted(subclasses(TransactionError), key=lambda kind: kind.__name__)


def of_sqlite(name: str, django: type[Error] = OperationalError) -> Error:
    cause = sqlite3.OperationalError("words that change")
    cause.sqlite_errorname = name
    return caused(django, cause)


def of_postgresql(state: str | None, words: str = "words that change") -> Error:
    cause = psycopg.OperationalError(words)
    cause.sqlstate = state
    return caused(OperationalError, cause)


def caused(django: type[Error], cause: Exception) -> Error:
    error = django(str(cause))
    error.__cause__ = cause
    return error


@pytest.fixture(autouse=True)
def fresh_figures(monkeypatch) -> Iterator[None]:
    monkeypatch.setattr(transactions, "_told", {})
    before = transactions.errors.copy(), transactions.retries.copy()
    transactions.errors.clear()
    transactions.retries.clear()
    yield
    for figures, old in zip(
        (transactions.errors, transactions.retries), before, strict=True
    ):
        figures.clear()
        figures.update(old)


@pytest.fixture
def waits(monkeypatch) -> list[float]:
    """How long would have been slept."""
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    return slept


# What cannot be provoked here; the rest is, in test_errors_sqlite and test_errors_postgresql.
@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (of_postgresql("57P02"), DatabaseConnectionError),
        (of_postgresql("57P03"), DatabaseConnectionError),
        (of_postgresql("08006"), DatabaseConnectionError),
        (of_postgresql("53100"), DiskFullError),
        (of_postgresql("53200"), ResourceError),
        (of_postgresql("53300"), ResourceError),
        (of_postgresql("28P01"), DatabaseConfigurationError),
        (of_postgresql("XX001"), CorruptionError),
        (of_postgresql("F0000"), TransactionError),
        (of_postgresql(None, "FATAL: sorry, too many clients already"), ResourceError),
        (
            of_postgresql(None, "FATAL: remaining connection slots are reserved"),
            ResourceError,
        ),
        (
            of_postgresql(None, "FATAL: the database system is starting up"),
            DatabaseConnectionError,
        ),
        (
            of_postgresql(None, 'password authentication failed for user "x"'),
            DatabaseConfigurationError,
        ),
        (
            of_postgresql(None, "couldn't get a connection after 5.00 sec"),
            DatabaseConnectionError,
        ),
        (
            of_postgresql(None, "server closed the connection unexpectedly"),
            DatabaseConnectionError,
        ),
        (of_sqlite("SQLITE_IOERR_WRITE"), DiskFullError),
        (of_sqlite("SQLITE_LOCKED_SHAREDCACHE"), LockTimeoutError),
        (of_sqlite("SQLITE_BUSY_RECOVERY"), LockTimeoutError),
        (of_sqlite("SQLITE_READONLY_DBMOVED"), DatabaseConfigurationError),
        (of_sqlite("SQLITE_CORRUPT_INDEX", DatabaseError), CorruptionError),
        (of_sqlite("SQLITE_NOMEM"), ResourceError),
        (of_sqlite("SQLITE_MISUSE", InterfaceError), ProgramError),
        (IntegrityError("found by Django itself"), ConstraintError),
        (DataError("integer out of range"), InvalidDataError),
        (ProgrammingError("the cursor is closed"), ProgramError),
        (OperationalError("who knows"), TransactionError),
        (InternalError("who knows"), TransactionError),
    ],
)
def test_the_class_comes_from_what_the_database_said(error: Error, kind: Kind) -> None:
    assert classify(error) is kind


def test_an_error_that_was_told_once_keeps_its_class_and_is_counted_once() -> None:
    told = explained(of_sqlite("SQLITE_FULL"))

    assert classify(told) is DiskFullError
    assert explained(told) is told
    assert transactions.errors == {"DiskFullError": 1}


@pytest.mark.parametrize("kind", KINDS)
def test_each_class_says_what_happened_and_what_to_do(kind: Kind) -> None:
    error = transactions.caused(kind, OperationalError("secret host is away"))

    assert isinstance(error, NetraError)
    assert isinstance(error, DatabaseError)
    assert error.message.endswith(".")
    assert error.fix.endswith(".")
    assert "secret" not in f"{error} {error.fix} {error.values}"
    assert (error.status >= 500) is (error.retry_after is not None)


def test_each_class_has_a_code_of_its_own() -> None:
    codes = {kind: kind.code for kind in KINDS if kind is not DuplicateError}

    assert len(set(codes.values())) == len(codes)
    assert (
        DuplicateError.code == ConstraintError.code
    )  # nobody waits for the difference


def test_only_our_own_fault_is_a_500() -> None:
    assert [kind for kind in KINDS if kind.status == 500] == [ProgramError]
    assert {kind.status for kind in KINDS} == {409, 422, 500, 503}


def test_a_fault_of_ours_is_logged_with_its_place_and_the_rest_in_one_line(
    caplog,
) -> None:
    explained(of_sqlite("SQLITE_ERROR"))
    explained(of_sqlite("SQLITE_BUSY"))
    explained(of_sqlite("SQLITE_CONSTRAINT_UNIQUE", IntegrityError))

    assert [(r.levelno, bool(r.exc_info)) for r in caplog.records] == [
        (logging.ERROR, True),
        (logging.WARNING, False),
    ]


def test_a_storm_of_errors_is_counted_and_logged_once_a_second(caplog) -> None:
    for _ in range(50):
        explained(of_postgresql("57P01"))

    assert transactions.errors == {"DatabaseConnectionError": 50}
    assert len(caplog.records) == 1


# -- again ---------------------------------------------------------------------------


class Failing:
    """Work that fails a number of times, always the same way."""

    def __init__(self, error: Error, times: int) -> None:
        self.error, self.times, self.runs = error, times, 0

    def __call__(self) -> str:
        self.runs += 1
        if self.runs <= self.times:
            raise self.error
        return "done"


@pytest.mark.parametrize(
    ("kind", "times"),
    [
        (DeadlockError, 5),
        (SerializationError, 5),
        (LockTimeoutError, 3),
        (DuplicateError, 2),
        (ResourceError, 5),
        (DatabaseConnectionError, 8),
    ],
)
def test_what_passes_is_tried_again_so_often_and_no_more(
    kind: Kind, times: int, waits, monkeypatch
) -> None:
    monkeypatch.setattr(transactions.random, "uniform", lambda low, high: 0.0)
    just_right, too_long = Failing(kind(), times), Failing(kind(), times + 1)

    assert retrying(just_right) == "done"
    with pytest.raises(kind):
        retrying(too_long)

    assert just_right.runs == too_long.runs == times + 1
    assert transactions.retries == {kind.__name__: 2 * times}
    assert len(waits) == 2 * times


@pytest.mark.parametrize(
    "kind", sorted(set(KINDS) - set(RETRIED), key=lambda kind: kind.__name__)
)
def test_what_does_not_pass_is_tried_once(kind: Kind, waits) -> None:
    work = Failing(kind(), 1)

    with pytest.raises(kind):
        retrying(work)

    assert (work.runs, waits) == (1, [])


def test_every_class_is_either_tried_again_or_known_not_to_be() -> None:
    never = {
        CommitUnknownError, ConstraintError, CorruptionError, DatabaseConfigurationError,
        DatabaseTimeoutError, DiskFullError, InvalidDataError, ProgramError, TransactionError,
    }  # fmt: skip

    assert set(RETRIED) | never == set(KINDS)
    assert set(RETRIED_READS) - set(RETRIED) == {DatabaseTimeoutError}


def test_the_caller_gets_the_typed_error_with_its_cause(waits) -> None:
    raw = of_sqlite("SQLITE_FULL")

    with pytest.raises(DiskFullError) as caught:
        retrying(Failing(raw, 1))

    assert caught.value.__cause__ is raw


@pytest.mark.django_db
@pytest.mark.mission_critical
def test_inside_an_open_transaction_nothing_is_tried_again(waits) -> None:
    work = Failing(of_sqlite("SQLITE_BUSY"), 1)

    with transaction.atomic(), pytest.raises(LockTimeoutError):
        retrying(work)

    assert (work.runs, waits) == (1, [])


def test_other_errors_are_none_of_its_business(waits) -> None:
    def work() -> None:
        raise ValueError("ours")

    with pytest.raises(ValueError, match="ours"):
        retrying(work)
    assert waits == []


def test_waits_are_random_grow_and_stay_below_two_seconds(waits, monkeypatch) -> None:
    asked: list[tuple[float, float]] = []

    def uniform(low: float, high: float) -> float:
        asked.append((low, high))
        return 0.0

    monkeypatch.setattr(transactions.random, "uniform", uniform)

    retrying(Failing(of_postgresql("57P01"), 8))

    assert asked[:4] == [(0, 0.2), (0, 0.4), (0, 0.8), (0, 1.6)]
    assert asked[4:] == [(0, 2.0)] * 4


def test_no_try_begins_after_the_budget(waits, monkeypatch) -> None:
    monkeypatch.setattr(transactions.random, "uniform", lambda low, high: high)
    work = Failing(of_postgresql("40001"), 9)

    with pytest.raises(SerializationError):
        retrying(work, budget=0.05)

    assert waits == [0.02, 0.04][: len(waits)]
    assert work.runs == len(waits) + 1 < 6


@pytest.mark.django_db(transaction=True)
def test_a_lost_connection_is_closed_before_the_next_try(waits) -> None:
    connection.ensure_connection()
    raw = connection.connection
    seen: list[object] = []

    def work() -> None:
        seen.append(connection.connection)
        if len(seen) == 1:
            raise of_postgresql("08006")

    retrying(work)

    assert seen == [raw, None]


def test_a_read_that_took_too_long_is_tried_once_more_and_a_write_is_not(waits) -> None:
    slow = of_postgresql("57014")

    assert retrying(Failing(slow, 1), table=RETRIED_READS) == "done"
    with pytest.raises(DatabaseTimeoutError):
        retrying(Failing(slow, 1))
