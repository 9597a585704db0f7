"""F5 to F7: Redis restarts, forgets, stays away, freezes, or drops its connections. Only time is lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
import redis

from tests.faults.client import FaultClient, execution_of
from tests.faults.conftest import Field, OpenClient, eventually
from tests.faults.proxy import FaultProxy
from tests.faults.stores import Redis

pytestmark = [
    pytest.mark.faults,
    pytest.mark.live,
    pytest.mark.integration,
    pytest.mark.mission_critical,
    pytest.mark.xdist_group("faults-redis"),
]
GOLDEN = "".join(f"tok{n} " for n in range(20))
SLOW = "".join(f"tok{n} " for n in range(100))
AWAY_SECONDS = 10.0
LATER = 3.0  # seconds that a frozen Redis may cost an answer
FLAP_SECONDS = 1.0


async def ends_well(who: FaultClient, execution_id: str, text: str) -> None:
    end = await who.end_of(execution_id, patience=60)
    assert end["data"].get("text") == text, end


async def follows_live(who: FaultClient) -> None:
    """Hints travel again: an answer is heard while it is being written."""
    asked = await who.ask("slow-turn")
    await who.until_text(asked["execution_id"], 5)
    await who.stop(asked["execution_id"])
    assert (await who.end_of(asked["execution_id"]))["type"] == "agent_cancelled"


def forget(server: Redis) -> None:
    with redis.Redis.from_url(server.url) as one:
        one.flushall()


def restart(server: Redis) -> None:
    server.kill()
    server.start()


def stay_away(server: Redis) -> None:
    server.kill()


@pytest.mark.parametrize("fault", [forget, restart, stay_away])
async def test_when_redis_goes_chats_go_on_and_nobody_is_told_of_an_error(
    fault: Callable[[Redis], None],
    field: Field,
    client: OpenClient,
    redis_server: Redis,
) -> None:
    alice, bob = await client(field), await client(field)
    alice.gaps = bob.gaps = True
    field.spare.thaw()
    slow = await alice.ask("slow-turn")
    await alice.until_text(slow["execution_id"])

    await asyncio.to_thread(fault, redis_server)
    try:
        for _ in range(3):
            asked = await bob.ask("golden-turn")
            await ends_well(bob, asked["execution_id"], GOLDEN)
        await ends_well(alice, slow["execution_id"], SLOW)
        if fault is stay_away:
            assert not redis_server.answers()
    finally:
        if fault is stay_away:
            await asyncio.to_thread(redis_server.start)

    await follows_live(bob)
    for one in (alice, bob):
        assert (one.connections, one.refused) == (1, [])
        assert [f for f in one.frames if f["type"] == "error"] == []
    assert alice.attempts(slow["execution_id"]) == []


def took(field: Field, execution_id: str) -> float:
    """Seconds from the first claim to the end, by the database's clock."""
    query = (
        "SELECT extract(epoch FROM x.finished_at - min(a.claimed_at))::float"
        " FROM executions_execution x JOIN executions_attempt a ON a.execution_id = x.id"
        " WHERE x.id = ? GROUP BY x.finished_at"
    )
    ((seconds,),) = field.rows(query, execution_id)
    return float(str(seconds))


async def test_a_frozen_redis_does_not_hold_up_an_agent(
    field: Field, client: OpenClient, redis_server: Redis
) -> None:
    alice, bob = await client(field), await client(field)
    alice.gaps = bob.gaps = True
    field.spare.thaw()
    usual = await bob.ask("slow-turn")
    await ends_well(bob, usual["execution_id"], SLOW)

    asked = await alice.ask("slow-turn")
    await alice.until_text(asked["execution_id"])
    with redis_server.frozen():
        done = eventually(
            lambda: (
                execution_of(field.rows, asked["execution_id"])["state"] == "completed"
            ),
            patience=60,
        )
        await asyncio.gather(done, asyncio.sleep(AWAY_SECONDS))
        await ends_well(alice, asked["execution_id"], SLOW)

    assert (
        took(field, asked["execution_id"]) <= took(field, usual["execution_id"]) + LATER
    )
    assert alice.connections == 1
    assert alice.attempts(asked["execution_id"]) == []
    await follows_live(bob)


@asynccontextmanager
async def flapping(proxy: FaultProxy) -> AsyncIterator[list[int]]:
    """Reset every connection again and again; yields how many broke each time."""
    broken: list[int] = []

    async def flap() -> None:
        while True:
            broken.append(await asyncio.to_thread(proxy.reset))
            await asyncio.sleep(FLAP_SECONDS)

    task = asyncio.create_task(flap())
    try:
        yield broken
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_when_connections_to_redis_flap_sockets_stay_and_nothing_is_lost(
    field: Field, client: OpenClient, redis_server: Redis
) -> None:
    with FaultProxy(redis_server.port) as proxy:
        shaky = {"NETRA_REDIS_URL": f"redis://127.0.0.1:{proxy.port}/0"}
        (server,) = field.servers(1, **shaky)
        worker = field.worker(**shaky)
        alice, bob = await client(field, server), await client(field, server)
        alice.gaps = bob.gaps = True
        async with flapping(proxy) as broken:
            slow = await alice.ask("slow-turn")
            for _ in range(5):
                asked = await bob.ask("golden-turn")
                await ends_well(bob, asked["execution_id"], GOLDEN)
            await ends_well(alice, slow["execution_id"], SLOW)
        assert sum(broken) >= len(broken) >= 5

        await follows_live(bob)
        assert (alice.connections, bob.connections) == (1, 1)
        assert alice.attempts(slow["execution_id"]) == []
        assert worker.alive
        for process in (server, worker):
            process.kill()  # before the proxy goes
