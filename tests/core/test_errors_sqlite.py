"""What SQLite really says when something is wrong, and which class that is."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django.db import IntegrityError, OperationalError

from apps.core.transactions import (
    ConstraintError,
    CorruptionError,
    DatabaseConfigurationError,
    DatabaseTimeoutError,
    DiskFullError,
    InvalidDataError,
    Kind,
    LockTimeoutError,
    ProgramError,
    SerializationError,
    classify,
    explained,
)
from tests.core.real_errors import closing, error_of, on_sqlite, run

TABLES = (
    "CREATE TABLE thing (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, n INT CHECK (n > 0))",
    "CREATE TABLE part (id INTEGER PRIMARY KEY, thing INT REFERENCES thing (id))",
    "INSERT INTO thing VALUES (1, 'one', 1), (2, 'two', 2)",
)


@pytest.fixture
def file(tmp_path: Path, django_db_blocker) -> Iterator[Path]:
    file = tmp_path / "errors.sqlite3"
    with django_db_blocker.unblock():
        database = on_sqlite(file)
        with closing(database):
            run(database, *TABLES)
        yield file


def told(error: Exception) -> str:
    return str(error.__cause__.sqlite_errorname)  # type: ignore[union-attr]


def busy(file: Path) -> Exception:
    """Another process writes, for longer than this one waits."""
    other = sqlite3.connect(file, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    database = on_sqlite(file)
    with closing(database):
        error = error_of(lambda: run(database, "BEGIN IMMEDIATE"))
    other.close()
    return error


def overtaken(file: Path) -> Exception:
    """What was read was changed before the same transaction wrote."""
    database, other = on_sqlite(file), on_sqlite(file)
    with closing(database, other):
        run(database, "BEGIN DEFERRED", "SELECT * FROM thing")
        run(other, "UPDATE thing SET n = 3 WHERE id = 1")
        return error_of(lambda: run(database, "UPDATE thing SET n = 4 WHERE id = 2"))


def locked(file: Path) -> Exception:
    """A statement of the same connection still reads the table."""
    database = on_sqlite(file)
    with closing(database), database.cursor() as reading:
        reading.execute("SELECT * FROM thing")
        reading.fetchone()
        return error_of(lambda: run(database, "DROP TABLE thing"))


def full(file: Path) -> Exception:
    database = on_sqlite(file)
    with closing(database):
        pages = run(database, "PRAGMA page_count")[0][0]
        run(database, f"PRAGMA max_page_count = {pages}")
        blob = "INSERT INTO thing VALUES (9, hex(randomblob(20000)), 1)"
        return error_of(lambda: run(database, blob))


def read_only(file: Path) -> Exception:
    database = on_sqlite(f"file:{file}?mode=ro", init_command="")
    with closing(database):
        return error_of(lambda: run(database, "DELETE FROM part"))


def absent(file: Path) -> Exception:
    database = on_sqlite(file.parent / "no such folder" / "x.sqlite3")
    return error_of(lambda: run(database, "SELECT 1"))


def foreign(file: Path) -> Exception:
    """The file is no database at all."""
    other = file.with_name("letter.txt")
    other.write_text("Dear reader, " * 1000)
    database = on_sqlite(other)
    return error_of(lambda: run(database, "SELECT * FROM thing"))


def damaged(file: Path) -> Exception:
    """Somebody wrote over a page."""
    database = on_sqlite(file, init_command="PRAGMA journal_mode=DELETE")
    with closing(database):
        size = run(database, "PRAGMA page_size")[0][0]
        root = run(database, "SELECT rootpage FROM sqlite_master WHERE name = 'thing'")
    with file.open("r+b") as raw:
        raw.seek((root[0][0] - 1) * size)
        raw.write(b"\xff" * size)
    with closing(database):
        return error_of(lambda: run(database, "SELECT * FROM thing"))


def interrupted(file: Path) -> Exception:
    database = on_sqlite(file)
    with closing(database):
        database.ensure_connection()
        database.connection.set_progress_handler(lambda: 1, 1)
        return error_of(lambda: run(database, "SELECT count(*) FROM thing"))


@pytest.mark.parametrize(
    ("provoke", "name", "kind"),
    [
        (busy, "SQLITE_BUSY", LockTimeoutError),
        (overtaken, "SQLITE_BUSY_SNAPSHOT", SerializationError),
        (locked, "SQLITE_LOCKED", LockTimeoutError),
        (full, "SQLITE_FULL", DiskFullError),
        (read_only, "SQLITE_READONLY", DatabaseConfigurationError),
        (absent, "SQLITE_CANTOPEN", DatabaseConfigurationError),
        (foreign, "SQLITE_NOTADB", CorruptionError),
        (damaged, "SQLITE_CORRUPT", CorruptionError),
        (interrupted, "SQLITE_INTERRUPT", DatabaseTimeoutError),
    ],
)
def test_what_sqlite_refuses(
    provoke: Callable[[Path], Exception], name: str, kind: Kind, file: Path
) -> None:
    error = provoke(file)

    assert told(error) == name
    assert classify(error) is classify(error.__cause__) is kind  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("statement", "name", "kind"),
    [
        ("INSERT INTO thing VALUES (3, 'one', 1)", "SQLITE_CONSTRAINT_UNIQUE", ConstraintError),
        ("INSERT INTO thing VALUES (1, 'x', 1)", "SQLITE_CONSTRAINT_PRIMARYKEY", ConstraintError),
        ("INSERT INTO thing VALUES (3, NULL, 1)", "SQLITE_CONSTRAINT_NOTNULL", ConstraintError),
        ("INSERT INTO thing VALUES (3, 'x', -1)", "SQLITE_CONSTRAINT_CHECK", ConstraintError),
        ("INSERT INTO part VALUES (1, 99)", "SQLITE_CONSTRAINT_FOREIGNKEY", ConstraintError),
        ("SELECT * FROM nothing", "SQLITE_ERROR", ProgramError),
        ("SELECT FROM WHERE", "SQLITE_ERROR", ProgramError),
        ("SELECT zeroblob(2000000000)", "SQLITE_TOOBIG", InvalidDataError),
    ],
)  # fmt: skip
def test_what_sqlite_refuses_in_one_statement(
    statement: str, name: str, kind: Kind, file: Path
) -> None:
    database = on_sqlite(file)
    with closing(database):
        error = error_of(lambda: run(database, statement))

    assert told(error) == name
    assert classify(error) is kind


def test_a_missing_table_is_a_fault_of_ours_although_django_calls_it_operational(
    file: Path,
) -> None:
    database = on_sqlite(file)
    with closing(database):
        error = error_of(lambda: run(database, "SELECT * FROM nothing"))

    assert isinstance(error, OperationalError)
    assert not explained(error).retryable


def test_the_typed_error_is_still_the_one_that_django_code_catches(file: Path) -> None:
    database = on_sqlite(file)
    with closing(database):
        error = error_of(lambda: run(database, "INSERT INTO part VALUES (1, 99)"))

    assert isinstance(explained(error), IntegrityError)
    assert explained(error).__cause__ is error


def test_after_the_disk_was_full_everything_acknowledged_is_there(file: Path) -> None:
    assert isinstance(explained(full(file)), DiskFullError)  # type: ignore[arg-type]

    database = on_sqlite(file)
    with closing(database):
        assert run(database, "PRAGMA integrity_check") == [("ok",)]
        assert run(database, "SELECT count(*) FROM thing") == [(2,)]
        run(database, "INSERT INTO thing VALUES (9, 'nine', 9)")
        assert run(database, "SELECT count(*) FROM thing") == [(3,)]
