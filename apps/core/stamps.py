"""What PostgreSQL is told of the open scope: the settings that its row-level security reads.

Which scope is open is told by tenancy; that nothing runs unstamped is the work of postgresql.
"""

from __future__ import annotations

from contextvars import ContextVar
from functools import lru_cache
from uuid import UUID

present: ContextVar[bytes] = ContextVar("netra_stamp", default=b"")


@lru_cache(maxsize=4096)
def stamp(
    kind: str, organisation_id: UUID | None, user_id: UUID | None, grant_id: UUID | None
) -> bytes:
    """The statement that sets the four settings until the transaction ends.

    Words of our own and UUIDs only: nothing that a person typed can become part of it.
    """
    values = {"app.scope": kind}
    for name, value in (
        ("app.org_id", organisation_id),
        ("app.user_id", user_id),
        ("app.grant", grant_id),
    ):
        values[name] = str(UUID(int=value.int)) if value is not None else ""
    calls = (f"set_config('{name}', '{text}', true)" for name, text in values.items())
    return f"SELECT {', '.join(calls)};".encode()


NOTHING = stamp("", None, None, None)
