"""What PostgreSQL really says when something is wrong, and which class that is."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import pytest
from django.db import InternalError, OperationalError

from apps.core.transactions import (
    ConstraintError,
    DatabaseConfigurationError,
    DatabaseConnectionError,
    DatabaseTimeoutError,
    DeadlockError,
    DuplicateError,
    InvalidDataError,
    Kind,
    LockTimeoutError,
    ProgramError,
    ResourceError,
    SerializationError,
    classify,
)
from tests.core.real_errors import (
    AbsentError,
    Postgres,
    closing,
    error_of,
    free_port,
    run,
)

pytestmark = [pytest.mark.integration]
TABLES = (
    "CREATE TABLE thing (id int PRIMARY KEY, name text NOT NULL UNIQUE, n int CHECK (n > 0))",
    "CREATE TABLE part (id int PRIMARY KEY, thing int REFERENCES thing (id))",
    "INSERT INTO thing VALUES (1, 'one', 1), (2, 'two', 2)",
)


@pytest.fixture(scope="module")
def server(django_db_blocker) -> Iterator[Postgres]:
    postgres = Postgres()
    try:
        postgres.create()
    except AbsentError as error:
        pytest.skip(str(error))
    with django_db_blocker.unblock():
        database = postgres.connect()
        with closing(database):
            run(database, *TABLES)
        yield postgres
    postgres.drop()


def state(error: Exception) -> str | None:
    return error.__cause__.sqlstate  # type: ignore[union-attr]


def deadlock(server: Postgres) -> Exception:
    one, two = server.connect(), server.connect()
    with closing(one, two):
        for database in (one, two):
            run(database, "SET deadlock_timeout = '20ms'", "BEGIN")
        run(one, "UPDATE thing SET n = 5 WHERE id = 1")
        run(two, "UPDATE thing SET n = 5 WHERE id = 2")
        found: list[Exception] = []

        def cross() -> None:
            two.inc_thread_sharing()
            try:
                run(two, "UPDATE thing SET n = 6 WHERE id = 1", "ROLLBACK")
            except OperationalError as error:
                found.append(error)
                run(two, "ROLLBACK")

        crossing = threading.Thread(target=cross)
        crossing.start()
        try:
            run(one, "UPDATE thing SET n = 6 WHERE id = 2")
        except OperationalError as error:
            found.append(error)
        run(one, "ROLLBACK")
        crossing.join(10)
        (error,) = found
        return error


def overtaken(server: Postgres) -> Exception:
    one, two = server.connect(), server.connect()
    with closing(one, two):
        run(one, "BEGIN ISOLATION LEVEL REPEATABLE READ", "SELECT * FROM thing")
        run(two, "UPDATE thing SET n = n + 1 WHERE id = 1")
        return error_of(lambda: run(one, "UPDATE thing SET n = 9 WHERE id = 1"))


def held(server: Postgres, *statements: str) -> Exception:
    one, two = server.connect(), server.connect()
    with closing(one, two):
        run(one, "BEGIN", "UPDATE thing SET n = 5 WHERE id = 1")
        return error_of(lambda: run(two, *statements))


def lock_timeout(server: Postgres) -> Exception:
    change = "UPDATE thing SET n = 6 WHERE id = 1"
    return held(server, "SET lock_timeout = '20ms'", change)


def nowait(server: Postgres) -> Exception:
    return held(server, "SELECT * FROM thing WHERE id = 1 FOR UPDATE NOWAIT")


def slow(server: Postgres) -> Exception:
    database = server.connect()
    with closing(database):
        run(database, "SET statement_timeout = '20ms'")
        return error_of(lambda: run(database, "SELECT pg_sleep(5)"))


def terminated(server: Postgres) -> Exception:
    one, two = server.connect(), server.connect()
    with closing(one, two):
        (pid,) = run(one, "SELECT pg_backend_pid()")[0]
        run(two, f"SELECT pg_terminate_backend({pid}, 5000)")
        return error_of(lambda: run(one, "SELECT 1"))


def used_after_its_end(server: Postgres) -> Exception:
    one, two = server.connect(), server.connect()
    with closing(one, two):
        (pid,) = run(one, "SELECT pg_backend_pid()")[0]
        run(two, f"SELECT pg_terminate_backend({pid}, 5000)")
        error_of(lambda: run(one, "SELECT 1"))
        return error_of(lambda: run(one, "SELECT 1"))


def refused(server: Postgres) -> Exception:
    database = server.connect(HOST="127.0.0.1", PORT=str(free_port()))
    return error_of(lambda: run(database, "SELECT 1"))


def unknown_database(server: Postgres) -> Exception:
    database = server.connect(NAME="no_such_database")
    return error_of(lambda: run(database, "SELECT 1"))


def unknown_role(server: Postgres) -> Exception:
    database = server.connect(USER="nobody_of_that_name")
    return error_of(lambda: run(database, "SELECT 1"))


def too_many(server: Postgres) -> Exception:
    database = server.connect(USER=server.role)
    return error_of(lambda: run(database, "SELECT 1"))


def idle(server: Postgres) -> Exception:
    """The server's last word may be lost with the connection: then it is provoked once more."""
    for _ in range(5):
        database = server.connect()
        with closing(database):
            run(database, "SET idle_in_transaction_session_timeout = '10ms'", "BEGIN")
            time.sleep(0.3)
            error = error_of(lambda: run(database, "SELECT 1"))  # noqa: B023 - called here
        if state(error) is not None:
            break
    return error


def aborted(server: Postgres) -> Exception:
    database = server.connect()
    with closing(database):
        run(database, "BEGIN")
        error_of(lambda: run(database, "SELECT 1/0"))
        return error_of(lambda: run(database, "SELECT 1"))


def too_big(server: Postgres) -> Exception:
    database = server.connect()
    sort = "SELECT * FROM generate_series(1, 200000) g ORDER BY md5(g::text)"
    with closing(database):
        run(database, "SET temp_file_limit = '1kB'", "SET work_mem = '64kB'")
        return error_of(lambda: run(database, sort))


def standby(server: Postgres) -> Exception:
    database = server.connect()
    with closing(database):
        run(database, "SET default_transaction_read_only = on")
        return error_of(lambda: run(database, "DELETE FROM part"))


@pytest.mark.parametrize(
    ("provoke", "sqlstate", "kind"),
    [
        (deadlock, "40P01", DeadlockError),
        (overtaken, "40001", SerializationError),
        (lock_timeout, "55P03", LockTimeoutError),
        (nowait, "55P03", LockTimeoutError),
        (slow, "57014", DatabaseTimeoutError),
        (terminated, "57P01", DatabaseConnectionError),
        (used_after_its_end, None, DatabaseConnectionError),
        (refused, None, DatabaseConnectionError),
        (unknown_database, None, DatabaseConfigurationError),
        (unknown_role, None, DatabaseConfigurationError),
        (too_many, None, ResourceError),
        (idle, "25P03", DatabaseConnectionError),
        (aborted, "25P02", ProgramError),
        (too_big, "53400", ResourceError),
        (standby, "25006", DatabaseConfigurationError),
    ],
)
def test_what_postgresql_refuses(
    provoke: Callable[[Postgres], Exception],
    sqlstate: str | None,
    kind: Kind,
    server: Postgres,
) -> None:
    error = provoke(server)

    assert state(error) == sqlstate
    assert classify(error) is classify(error.__cause__) is kind  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("statement", "sqlstate", "kind"),
    [
        ("INSERT INTO thing VALUES (3, 'one', 1)", "23505", DuplicateError),
        ("INSERT INTO part VALUES (1, 99)", "23503", ConstraintError),
        ("INSERT INTO thing VALUES (3, 'x', -1)", "23514", ConstraintError),
        ("INSERT INTO thing VALUES (3, NULL, 1)", "23502", ConstraintError),
        ("SELECT 1/0", "22012", InvalidDataError),
        ("SELECT 99999999999::int", "22003", InvalidDataError),
        ("SELECT 'x'::int", "22P02", InvalidDataError),
        ("SELECT FROM WHERE", "42601", ProgramError),
        ("SELECT * FROM nothing", "42P01", ProgramError),
    ],
)
def test_what_postgresql_refuses_in_one_statement(
    statement: str, sqlstate: str, kind: Kind, server: Postgres
) -> None:
    database = server.connect()
    with closing(database):
        error = error_of(lambda: run(database, statement))

    assert state(error) == sqlstate
    assert classify(error) is kind


def test_idle_for_too_long_is_a_lost_connection_although_django_calls_it_internal(
    server: Postgres,
) -> None:
    error = idle(server)

    assert isinstance(error, InternalError)
    assert classify(error) is DatabaseConnectionError
