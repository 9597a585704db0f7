"""F8 to F11, F21: PostgreSQL restarts, crashes, freezes, is full, or cannot be reached by one worker."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

import httpx
import psycopg
import pytest

from tests.faults.client import execution_of
from tests.faults.conftest import Field, OpenClient, eventually
from tests.faults.crowd import chatting, ends_well, put, turn
from tests.faults.proxy import FaultProxy
from tests.faults.stores import Postgres

pytestmark = [
    pytest.mark.faults,
    pytest.mark.live,
    pytest.mark.integration,
    pytest.mark.mission_critical,
    pytest.mark.xdist_group("faults-postgresql"),
]
FROZEN_SECONDS = 20.0
POOL = 20  # connections that one process may hold


@pytest.mark.parametrize("immediate", [False, True], ids=["fast", "immediate"])
async def test_when_postgresql_restarts_sockets_stay_and_the_run_goes_on(
    immediate: bool, field: Field, client: OpenClient, postgres: Postgres
) -> None:
    alice, bob = await client(field), await client(field)
    field.spare.thaw()
    slow = await put(alice, "slow-turn")
    await alice.until_text(slow["execution_id"])

    restart = asyncio.to_thread(postgres.restart, immediate=immediate)
    asked, _ = await asyncio.gather(put(bob, "golden-turn"), restart)

    await ends_well(bob, asked, "golden-turn")
    await ends_well(alice, slow, "slow-turn")
    assert (alice.connections, bob.connections) == (1, 1)
    row = execution_of(field.rows, slow["execution_id"])
    assert row["attempt"] in {1, 2}  # the second, where it was away for too long
    assert alice.attempts(slow["execution_id"]) == list(range(2, row["attempt"] + 1))


async def test_a_frozen_postgresql_fences_runners_and_all_recovers_by_itself(
    field: Field, client: OpenClient, postgres: Postgres
) -> None:
    alice, bob, carol = [await client(field) for _ in range(3)]
    worker = field.worker()
    await turn(bob)
    slow = await put(alice, "slow-turn")
    await alice.until_text(slow["execution_id"])
    queued = await put(alice, "golden-turn", thread_id=slow["thread_id"])

    with postgres.frozen():
        asking = asyncio.create_task(put(bob, "golden-turn"))
        began = time.monotonic()
        await eventually(lambda: "it is given up here" in worker.said())
        await asyncio.sleep(FROZEN_SECONDS - (time.monotonic() - began))

    await ends_well(bob, await asking, "golden-turn")
    await ends_well(alice, slow, "slow-turn")
    await ends_well(alice, queued, "golden-turn")
    assert alice.attempts(slow["execution_id"]) == [2]
    await turn(carol)
    assert [one.connections for one in (alice, bob, carol)] == [1, 1, 1]


async def test_a_worker_cut_off_for_longer_than_its_lease_changes_nothing_afterwards(
    field: Field, client: OpenClient, postgres: Postgres
) -> None:
    alice = await client(field)
    with FaultProxy(postgres.port) as proxy:
        far = urlsplit(field.database)._replace(netloc=f"netra@127.0.0.1:{proxy.port}")
        worker = field.worker(NETRA_DATABASE_URL=far.geturl())
        slow = await put(alice, "slow-turn")
        await alice.until_text(slow["execution_id"], 40)

        proxy.freeze()
        field.spare.thaw()
        await eventually(lambda: "it is given up here" in worker.said())
        await ends_well(alice, slow, "slow-turn")
        before = history(field)
        proxy.mend()  # what it had sent arrives now
        await eventually(lambda: waiting_statements(field) == 0)
        field.spare.freeze()
        await turn(alice, thread_id=slow["thread_id"])  # it is of use again

        assert history(field)[: len(before)] == before
        row = execution_of(field.rows, slow["execution_id"])
        assert (row["state"], row["attempt"], row["fence"]) == ("completed", 2, 2)
        worker.kill()  # before the proxy goes


def history(field: Field) -> list[tuple[object, ...]]:
    """What happened, oldest first: nothing may be put between or taken away."""
    return field.rows(
        "SELECT id, execution_id, to_state, at FROM executions_transition ORDER BY at, id"
    )


def waiting_statements(field: Field) -> int:
    query = "SELECT pid FROM pg_stat_activity WHERE datname = ? AND state <> 'idle'"
    return len(field.rows(query + " AND pid <> pg_backend_pid()", field.name))


# -- no connection left --------------------------------------------------------------------


@contextlib.contextmanager
def crowded(field: Field) -> Iterator[None]:
    """Hold every connection that PostgreSQL gives, those of Netra's processes too."""
    held: list[psycopg.Connection] = []
    try:
        quiet = 0
        while quiet < 3:  # processes try again, and must find nothing
            with contextlib.suppress(psycopg.OperationalError):
                while True:
                    held.append(psycopg.connect(field.postgres, autocommit=True))
            gone = held[0].execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s",
                [field.name],
            )
            quiet = quiet + 1 if gone.rowcount == 0 else 0
            time.sleep(0.1)
        yield
    finally:
        for connection in held:
            connection.close()


def connections_of(field: Field) -> int:
    query = "SELECT pid FROM pg_stat_activity WHERE datname = ?"
    return len(field.rows(query, field.name)) - 1  # our own


async def test_without_a_free_connection_people_are_told_to_wait_and_all_recovers(
    field: Field, client: OpenClient
) -> None:
    alice, bob = await client(field), await client(field)
    field.spare.thaw()
    slow = await put(alice, "slow-turn")
    await alice.until_text(slow["execution_id"])
    await turn(bob)
    token = field.people[bob.person]["token"]  # type: ignore[index]
    web = httpx.AsyncClient(
        base_url=f"http://127.0.0.1:{field.server.port}",
        headers={"Authorization": f"Bearer {token}"},
        timeout=60,
    )

    async with web:
        with crowded(field):
            asking = asyncio.create_task(put(bob, "golden-turn"))
            answer = await web.get("/api/v1/threads/")
            ready = await web.get("/readyz")
        assert answer.status_code == 503, answer.text
        assert int(answer.headers["Retry-After"]) >= 1
        assert answer.json()["code"] in {"database_overloaded", "database_unreachable"}
        assert ready.status_code == 503
        await ends_well(bob, await asking, "golden-turn")
        await ends_well(alice, slow, "slow-turn")
        assert (await web.get("/api/v1/threads/")).status_code == 200

    assert (alice.connections, bob.connections) == (1, 1)
    assert connections_of(field) <= 2 * POOL  # the server's and the worker's


# -- a commit whose fate is unknown --------------------------------------------------------


async def test_crashes_under_many_writers_leave_each_question_answered_once(
    field: Field, client: OpenClient, postgres: Postgres
) -> None:
    people = [await client(field) for _ in range(6)]
    field.spare.thaw()
    async with chatting(people) as crowd:
        for crash in range(3):
            await crowd.until(len(people))
            await asyncio.to_thread(postgres.restart, immediate=crash % 2 == 0)

    asked = field.rows(
        "SELECT m.id FROM chat_message m JOIN chat_thread t ON t.id = m.thread_id"
        " JOIN accounts_user u ON u.id = t.user_id"
        " WHERE m.role = 'user' AND u.email = ANY(?)",
        [one.person for one in people],
    )
    assert len(asked) == sum(crowd.turns)
    assert [one.connections for one in people] == [1] * len(people)
