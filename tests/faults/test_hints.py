"""F14: hints between processes are lost or late. That costs time, and nothing else."""

from __future__ import annotations

import pytest

from tests.faults.conftest import Field, OpenClient
from tests.faults.proxy import FaultProxy
from tests.faults.stores import Redis

pytestmark = [
    pytest.mark.faults,
    pytest.mark.live,
    pytest.mark.integration,
    pytest.mark.xdist_group("faults-processes"),
]
GOLDEN = "".join(f"tok{n} " for n in range(20))


async def three_turns_and_a_stop(alice) -> None:
    first = await alice.ask("golden-turn")
    assert (await alice.end_of(first["execution_id"]))["data"]["text"] == GOLDEN
    slow = await alice.ask("slow-turn", thread_id=first["thread_id"])
    queued = await alice.ask("golden-turn", thread_id=first["thread_id"])
    await alice.until(
        lambda f: (
            f["type"] == "agent_started" and f["execution_id"] == slow["execution_id"]
        )
    )
    await alice.stop(slow["execution_id"])
    end = await alice.end_of(slow["execution_id"])
    assert end["type"] == "agent_cancelled"
    assert (await alice.end_of(queued["execution_id"]))["data"]["text"] == GOLDEN


async def test_when_every_hint_is_lost_everything_arrives_by_polling(
    field: Field, client: OpenClient, redis_server: Redis
) -> None:
    elsewhere = redis_server.url.replace("/0", "/1")  # where no worker listens
    (deaf,) = field.servers(1, NETRA_REDIS_URL=elsewhere)
    field.spare.thaw()
    alice = await client(field, deaf)

    await three_turns_and_a_stop(alice)

    assert alice.connections == 1


@pytest.mark.parametrize("seconds", [0.7, 5.0])
async def test_when_hints_are_late_nothing_comes_twice_or_in_disorder(
    seconds: float, field: Field, client: OpenClient, redis_server: Redis
) -> None:
    with FaultProxy(redis_server.port) as proxy:
        (late,) = field.servers(1, NETRA_REDIS_URL=f"redis://127.0.0.1:{proxy.port}/0")
        field.spare.thaw()
        alice = await client(field, late)
        first = await alice.ask("golden-turn")
        await alice.end_of(first["execution_id"])

        proxy.delay(seconds)
        await three_turns_and_a_stop(alice)
        late.kill()
