"""Under which circumstances somebody acts: door, address, client, request. Set by doors, read by the trail.

Holds nothing secret: a session is named by a digest of its key.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TypeVar

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True, kw_only=True)
class Circumstances:
    """Where a request came from. Empty strings where it is not known."""

    door: str = ""  # http, admin, socket, scim, worker, command
    address: str = ""
    agent: str = ""  # the client's own name, at most 200 characters
    request_id: str = ""
    session: str = ""  # the first 16 hex digits of SHA-256 of the session's key


NONE = Circumstances()
_present: ContextVar[Circumstances] = ContextVar("netra_circumstances", default=NONE)


def present() -> Circumstances:
    """The circumstances of what runs now."""
    return _present.get()


@contextmanager
def under(circumstances: Circumstances) -> Iterator[None]:
    """Run a block under these circumstances."""
    token = _present.set(circumstances)
    try:
        yield
    finally:
        _present.reset(token)


def carried(work: Callable[[], Result]) -> Callable[[], Result]:
    """`work` for another thread, to be done there under the circumstances of here."""
    told = _present.get()
    if told is NONE:
        return work

    def under_them() -> Result:
        with under(told):
            return work()

    return under_them
