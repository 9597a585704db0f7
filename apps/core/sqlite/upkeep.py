"""What is said to a SQLite database about itself: who may write, checkpoints, copies.

Knows no tables.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

from django.db.backends.base.base import BaseDatabaseWrapper

from apps.core.sqlite.base import DatabaseWrapper

CHECKPOINT_PAGES = (
    4000  # 16 MB: a checkpoint waits for the disk while nothing is written
)


class DamagedCopyError(Exception):
    """A copy that SQLite itself finds damaged."""


def only_queries(connection: BaseDatabaseWrapper) -> None:
    """This connection writes no more, whatever code runs on it."""
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA query_only = ON")


def checkpoint_now_and_then(connection: BaseDatabaseWrapper) -> None:
    """Commits of this connection carry the log over into the database when it is long."""
    with connection.cursor() as cursor:
        cursor.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES:d}")


def checkpoint(connection: BaseDatabaseWrapper) -> None:
    """Carry over as much of the log as readers allow, while nobody in this process writes."""
    assert isinstance(connection, DatabaseWrapper)
    connection.ensure_connection()
    with connection.wrap_database_errors:
        connection.take_turn()
    try:
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA wal_checkpoint(PASSIVE)")
    finally:
        connection.pass_turn()


def log_changed_at(connection: BaseDatabaseWrapper) -> int:
    """When the write-ahead log was last written, in nanoseconds; 0 where there is none."""
    try:
        return Path(f"{connection.settings_dict['NAME']}-wal").stat().st_mtime_ns
    except FileNotFoundError:
        return 0


def copy_into(connection: BaseDatabaseWrapper, file: Path) -> None:
    """Write a whole, checked copy to `file`, which only the system's own user may read.

    The copy shows one moment; writers are not held up meanwhile. Raises DamagedCopyError.
    """
    part = file.with_name(f".{file.name}.part")
    part.unlink(missing_ok=True)
    part.touch(mode=0o600, exist_ok=False)
    try:
        with connection.cursor() as cursor:
            cursor.execute("VACUUM INTO %s", [str(part)])
        _check(part)
        _sync(part)
        part.replace(file)
        _sync(file.parent)
    finally:
        part.unlink(missing_ok=True)


def _check(file: Path) -> None:
    try:
        with closing(sqlite3.connect(file)) as copy:
            (answer,) = copy.execute("PRAGMA integrity_check(1)").fetchone()
    except sqlite3.DatabaseError as error:
        answer = error
    if answer != "ok":
        raise DamagedCopyError(f"the copy {file} is damaged: {answer}")


def _sync(path: Path) -> None:
    """Have it on the disk: SQLite does not wait for that when it writes a copy."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
