"""Django's SQLite backend, where whoever writes takes a turn first. The name is Django's."""

from __future__ import annotations

import sqlite3
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Any, Self

from django.db.backends.sqlite3 import base

from apps.core.sqlite.turns import Turns, turns_of

WRITES = frozenset(("INSERT", "UPDATE", "DELETE", "REPLACE", "CREATE", "ALTER", "DROP"))


class TurnTimeoutError(sqlite3.OperationalError):
    """Somebody else in this process wrote for too long; told like SQLite's own time-out."""

    sqlite_errorcode = sqlite3.SQLITE_BUSY
    sqlite_errorname = "SQLITE_BUSY"


class DatabaseWrapper(base.DatabaseWrapper):
    """A connection that holds the turn from BEGIN to COMMIT or ROLLBACK."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._turns = Turns()
        self._holds = False
        self._patience = 0.0

    def get_new_connection(self, conn_params: dict[str, Any]) -> sqlite3.Connection:
        self._turns = turns_of(str(conn_params["database"]))
        self._patience = float(conn_params.get("timeout", 5.0))
        made: sqlite3.Connection = super().get_new_connection(conn_params)
        return made

    def create_cursor(self, name: str | None = None) -> TurnCursor:  # noqa: ARG002 - Django's
        cursor: TurnCursor = self.connection.cursor(factory=TurnCursor)
        cursor.owner = self
        return cursor

    def take_turn(self) -> None:
        """Wait until this connection may write; raises TurnTimeoutError."""
        if self._holds:
            return
        if not self._turns.take(self._patience):
            raise TurnTimeoutError(
                f"database is locked: another thread wrote for {self._patience:g} s"
            )
        self._holds = True

    def pass_turn(self) -> None:
        """Let the next one write."""
        if self._holds:
            self._holds = False
            self._turns.pass_on()

    def _start_transaction_under_autocommit(self) -> None:
        with self.wrap_database_errors:
            self.take_turn()
        try:
            super()._start_transaction_under_autocommit()  # type: ignore[misc]  # the stubs leave it out
        except BaseException:
            self.pass_turn()
            raise

    def _commit(self) -> None:
        super()._commit()  # type: ignore[misc]  # the stubs leave it out
        self.pass_turn()  # after an error the transaction is still open, until it is rolled back

    def _rollback(self) -> None:
        try:
            super()._rollback()  # type: ignore[misc]  # the stubs leave it out
        finally:
            self.pass_turn()

    def _close(self) -> None:
        try:
            super()._close()  # type: ignore[misc]  # the stubs leave it out
        finally:
            self.pass_turn()


class TurnCursor(base.SQLiteCursorWrapper):
    """A cursor whose writes outside a transaction take a turn of their own."""

    owner: DatabaseWrapper
    _kept: deque[Any] | None = None

    def execute(self, query: str, params: Any = None) -> Self:
        self._kept = None
        if self.connection.in_transaction or not _writes(query):
            return self._executed(query, params)
        self.owner.take_turn()
        try:
            self._executed(query, params)
            if self.description is not None:
                # It ends, and so commits, only when its last row was fetched.
                self._kept = deque(super().fetchall())
        finally:
            self.owner.pass_turn()
        return self

    def executemany(self, query: str, param_list: Iterable[Any]) -> Self:
        self._kept = None
        if self.connection.in_transaction or not _writes(query):
            super().executemany(query, param_list)
            return self
        self.owner.take_turn()
        try:
            super().executemany(query, param_list)
        finally:
            self.owner.pass_turn()
        return self

    def fetchone(self) -> Any:
        if self._kept is None:
            return super().fetchone()
        return self._kept.popleft() if self._kept else None

    def fetchmany(self, size: int | None = 1) -> list[Any]:
        if self._kept is None:
            return super().fetchmany(size)
        return [self._kept.popleft() for _ in range(min(size or 1, len(self._kept)))]

    def fetchall(self) -> list[Any]:
        if self._kept is None:
            return super().fetchall()
        rows, self._kept = list(self._kept), deque()
        return rows

    def _executed(self, query: str, params: Sequence[Any] | None) -> Self:
        super().execute(query, params)
        return self


def _writes(query: str) -> bool:
    return query.lstrip()[:8].partition(" ")[0].upper() in WRITES
