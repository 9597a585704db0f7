"""F16 and F18 with real processes: a client that is gone without a word, and two that wait for each other.

Who never reads is in tests/live/test_slow_client.py; each error of a database, in tests/core.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator

import psycopg
import pytest

from tests.faults.conftest import Field, OpenClient, eventually
from tests.faults.crowd import ends_well, put, turn
from tests.faults.proxy import FaultProxy
from tests.live.installation import Installation

pytestmark = [pytest.mark.faults, pytest.mark.live, pytest.mark.integration]


class Behind:
    """A server, reached through a proxy."""

    def __init__(self, at: Installation, proxy: FaultProxy) -> None:
        self.port, self.people = proxy.port, at.people


async def test_a_client_that_is_gone_without_a_word_disturbs_nobody(
    victim: Installation, client: OpenClient
) -> None:
    with FaultProxy(victim.port) as proxy:
        alice, bob = await client(victim), await client(victim)
        alice.places = [Behind(victim, proxy)]
        slow = await put(alice, "slow-turn")
        await alice.until_text(slow["execution_id"])

        assert await asyncio.to_thread(proxy.leave_half_open) == 1
        alice.places = [victim]
        await turn(bob)
        await ends_well(alice, slow, "slow-turn")
        await turn(alice, thread_id=slow["thread_id"])

        assert (alice.connections, bob.connections) == (2, 1)


# -- two that wait for each other ------------------------------------------------------------

PROCESSES = pytest.mark.xdist_group("faults-postgresql")


@contextlib.contextmanager
def stream_held(field: Field, thread_id: str) -> Iterator[psycopg.Connection]:
    """Hold the lock that whoever writes into the thread needs."""
    with psycopg.connect(field.database) as database:
        # Whoever looks for a deadlock first gives way: that shall be Netra.
        database.execute("SET LOCAL deadlock_timeout = '60s'")
        database.execute(
            "SELECT 1 FROM executions_stream WHERE id = %s FOR UPDATE", [thread_id]
        )
        yield database
        database.rollback()


def deadlocks(field: Field) -> int:
    query = "SELECT deadlocks FROM pg_stat_database WHERE datname = ?"
    return int(str(field.rows(query, field.name)[0][0]))


def waiting(field: Field) -> int:
    query = "SELECT pid FROM pg_stat_activity WHERE datname = ? AND wait_event_type = 'Lock'"
    return len(field.rows(query, field.name))


@PROCESSES
async def test_a_deadlock_is_tried_again_and_nobody_hears_of_it(
    field: Field, client: OpenClient
) -> None:
    alice = await client(field)
    field.spare.thaw()
    thread_id = (await turn(alice))["thread_id"]
    before = deadlocks(field)

    def close_the_circle(database: psycopg.Connection) -> None:
        of_the_asker = "SELECT 1 FROM chat_thread WHERE id = %s FOR UPDATE"
        database.execute(of_the_asker, [thread_id])

    with stream_held(field, thread_id) as database:
        asking = asyncio.create_task(turn(alice, thread_id=thread_id))
        await eventually(lambda: waiting(field) > 0, every=0.01)
        await asyncio.to_thread(close_the_circle, database)
    await asking

    await eventually(lambda: deadlocks(field) == before + 1)
    assert alice.refused == []


@PROCESSES
async def test_a_lock_that_is_held_for_long_delays_an_answer_and_no_more(
    field: Field, client: OpenClient
) -> None:
    alice, bob = await client(field), await client(field)
    field.spare.thaw()
    thread_id = (await turn(alice))["thread_id"]

    with stream_held(field, thread_id):
        asking = asyncio.create_task(turn(alice, thread_id=thread_id))
        await eventually(lambda: waiting(field) > 0)
        await turn(bob)  # of another thread
        await asyncio.sleep(4)  # longer than a lock is waited for
    await asking

    assert [f for f in alice.frames if f["type"] == "error"] == []
