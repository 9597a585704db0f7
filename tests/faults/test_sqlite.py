"""F19 and F27: somebody else holds the write lock; something holds the event loop."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing

import pytest

from tests.faults.conftest import Embedded, OpenClient
from tests.live.installation import Installation

pytestmark = [
    pytest.mark.faults,
    pytest.mark.live,
    pytest.mark.integration,
    pytest.mark.xdist_group("faults-embedded"),
]
GOLDEN = "".join(f"tok{n} " for n in range(20))
SLOW = "".join(f"tok{n} " for n in range(100))


@asynccontextmanager
async def locked(netra: Installation, seconds: float) -> AsyncIterator[None]:
    """Hold the database's write lock, as a command that takes too long would."""
    with closing(
        sqlite3.connect(
            netra.folder / "netra.sqlite3", isolation_level=None, timeout=10
        )
    ) as other:
        other.execute("BEGIN IMMEDIATE")
        release = asyncio.get_running_loop().call_later(seconds, other.rollback)
        try:
            yield
        finally:
            release.cancel()
            if other.in_transaction:
                other.rollback()


@pytest.mark.parametrize("seconds", [5.0, 15.0])
async def test_a_held_write_lock_is_waited_for_and_nothing_is_half_written(
    seconds: float, embedded: Embedded, client: OpenClient
) -> None:
    netra = embedded()
    alice, bob = await client(netra), await client(netra)
    slow = await alice.ask("slow-turn")
    await alice.until_text(slow["execution_id"])

    async with locked(netra, seconds):
        asked = await bob.ask("golden-turn")
        end = await bob.end_of(asked["execution_id"], patience=60)
        ended = await alice.end_of(slow["execution_id"], patience=60)

    assert end["data"]["text"] == GOLDEN
    assert ended["data"]["text"] == SLOW
    assert len(netra.rows("SELECT id FROM chat_message WHERE role = 'user'")) == 2


async def test_a_blocked_loop_delays_and_loses_nothing(
    embedded: Embedded, client: OpenClient
) -> None:
    netra = embedded("before_start:2:sleep=2")
    alice, bob = await client(netra), await client(netra)
    slow = await alice.ask("slow-turn")
    await alice.until_text(slow["execution_id"])

    asked = await bob.ask("golden-turn")
    end = await bob.end_of(asked["execution_id"])
    ended = await alice.end_of(slow["execution_id"])

    assert end["data"]["text"] == GOLDEN
    assert ended["data"]["text"] == SLOW
    assert alice.attempts(slow["execution_id"]) == []
    assert (alice.connections, bob.connections) == (1, 1)
