"""The process-wide turn to write a SQLite database: first come, first served, bounded in time.

SQLite's own wait sleeps and looks again, so that a busy database starves the unlucky. Threads of
this process wait here instead; only other processes are met in SQLite itself.
"""

from __future__ import annotations

import threading
from collections import deque


class Turns:
    """A lock that is handed on in the order of asking."""

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._waiting: deque[threading.Lock] = deque()
        self._holder: threading.Thread | None = None

    def take(self, seconds: float) -> bool:
        """Wait for the turn; False when it did not come in time."""
        me = threading.current_thread()
        with self._mutex:
            if self._holder is None:
                self._holder = me
                return True
            mine = threading.Lock()
            mine.acquire()
            self._waiting.append(mine)
        came = False
        try:
            came = mine.acquire(timeout=seconds)
        except BaseException:  # an interrupt must not leave a turn that nobody takes
            if not self._left(mine):
                self.pass_on()
            raise
        if not came and self._left(mine):
            return self._inherited(me)
        self._holder = me
        return True

    def pass_on(self) -> None:
        """Give the turn to whoever waits longest."""
        with self._mutex:
            if self._waiting:
                self._waiting.popleft().release()
            else:
                self._holder = None

    def _left(self, mine: threading.Lock) -> bool:
        """Leave the line; False when the turn came in the same moment."""
        with self._mutex:
            if mine not in self._waiting:
                return False
            self._waiting.remove(mine)
            return True

    def _inherited(self, me: threading.Thread) -> bool:
        """Take the turn of a thread that ended without passing it on; SQLite guards the rest."""
        with self._mutex:
            if self._holder is None or self._holder.is_alive():
                return False
            self._holder = me
            return True


_of_databases: dict[str, Turns] = {}


def turns_of(database: str) -> Turns:
    """The one line for a database file in this process."""
    return _of_databases.setdefault(database, Turns())
