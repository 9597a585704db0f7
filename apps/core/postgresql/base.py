"""Django's PostgreSQL backend, which stamps each transaction with the open scope. The name is Django's.

The stamp, and BEGIN too, travel in the same message as the statement they precede, so they cost
no round trip. Settings are transaction-local only: a session's would leak through every pool.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Self

from django.core.exceptions import ImproperlyConfigured
from django.db.backends.postgresql import base, operations
from psycopg import pq

from apps.core import stamps

IDLE = pq.TransactionStatus.IDLE
OPEN = pq.TransactionStatus.INTRANS
BEGIN = b"BEGIN;"
# They move between points of a transaction, and may be all that a failed one still takes.
CONTROL = ("SAVEPOINT", "RELEASE", "ROLLBACK")
REFUSED = ("isolation_level", "server_side_binding", "prepare_threshold")


_Cursor: Any = base.Cursor  # its stubs leave out what it takes from psycopg


class Operations(operations.DatabaseOperations):
    """Shows a statement without what went before it."""

    def last_executed_query(self, cursor: Any, sql: Any, params: Any) -> str:
        # None, whatever the stubs say, where nothing was sent.
        text = super().last_executed_query(cursor, sql, params) or ""
        before: bytes = getattr(cursor, "before", b"")
        return text.removeprefix(before.decode())


class DatabaseWrapper(base.DatabaseWrapper):
    """A connection that tells the server the open scope, and outside any scope that there is none."""

    ops_class = Operations

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        # What this transaction was told last; None: not known.
        self._stamped: bytes | None = None

    def get_connection_params(self) -> dict[str, Any]:
        wrong = [name for name in REFUSED if name in self.settings_dict["OPTIONS"]]
        if wrong:
            raise ImproperlyConfigured(
                f"The database's {', '.join(wrong)} cannot be set: statements carry their scope, "
                "and so are sent as text, in transactions of the default isolation."
            )
        found: dict[str, Any] = super().get_connection_params()
        return found | {"cursor_factory": StampedCursor}

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        made = super().get_new_connection(conn_params)
        if not made.autocommit:
            made.autocommit = True  # for good: BEGIN is ours, see before()
        return made

    def _set_autocommit(self, autocommit: bool) -> None:  # noqa: FBT001 - Django's
        if autocommit and self.connection.pgconn.transaction_status != IDLE:
            super()._set_autocommit(autocommit)  # type: ignore[misc]  # psycopg refuses, and says why

    def create_cursor(self, name: str | None = None) -> Any:
        cursor = super().create_cursor(name)
        cursor.owner = self
        return cursor

    def chunked_cursor(self) -> Any:
        # One on the server would outlive the stamp, and does not work behind a pooler.
        return self.cursor()

    def before(self, query: str) -> bytes:
        """What goes to the server before this statement."""
        wanted = stamps.present.get()
        status = self.connection.pgconn.transaction_status
        if status == IDLE:
            self._stamped = None if self.autocommit else wanted
            return wanted if self.autocommit else BEGIN + wanted
        if status != OPEN or query.startswith(CONTROL):
            # A savepoint that is rolled back takes back what was set after it.
            if query.startswith("ROLLBACK"):
                self._stamped = None
            return b""
        if self._stamped == wanted:
            return b""
        self._stamped = wanted
        return wanted or stamps.NOTHING

    def forget(self) -> None:
        """A statement failed: nobody knows what the transaction was told."""
        self._stamped = None


class StampedCursor(_Cursor):  # type: ignore[misc]
    """A cursor whose statements carry what must go before them."""

    owner: DatabaseWrapper
    before = b""

    def execute(self, query: Any, params: Any = None, **options: Any) -> Self:
        owner = getattr(self, "owner", None)
        # Without an owner it is Django preparing the connection; then there is no scope to tell.
        self.before = owner.before(query) if owner is not None else b""
        try:
            super().execute(query, params, **options)
        except BaseException:
            if owner is not None:
                owner.forget()
            raise
        if self.before:
            self.set_result(-1)
        return self

    def executemany(
        self, query: Any, params_seq: Iterable[Any], *, returning: bool = False
    ) -> None:
        """One after the other: psycopg's own way sends no two statements in one message."""
        if returning:
            raise NotImplementedError("executemany returns no rows here")
        for params in params_seq:
            self.execute(query, params)

    def _convert_query(self, query: Any, params: Any = None) -> Any:
        # Here, and not in the text: what psycopg learnt of a statement serves every scope.
        made = super()._convert_query(query, params)
        made.query = self.before + made.query
        return made
