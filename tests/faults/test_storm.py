"""F17: 250 clients lose their sockets at once, and again. All catch up; nobody waits for a connection."""

from __future__ import annotations

import asyncio
import time

import pytest

from tests.faults.client import FaultClient
from tests.faults.conftest import Field, OpenClient
from tests.faults.crowd import turn
from tests.faults.proxy import FaultProxy

pytestmark = [
    pytest.mark.faults,
    pytest.mark.live,
    pytest.mark.integration,
    pytest.mark.xdist_group("faults-postgresql"),
]
CLIENTS, STORMS = 250, 3
AT_ONCE = 16  # first questions
PATIENCE = 90.0
GENEROUS = 45.0  # seconds on a machine that does other things; 5 where it is idle


class Behind:
    """The server, reached through a proxy."""

    def __init__(self, field: Field, proxy: FaultProxy) -> None:
        self.port, self.people = proxy.port, field.people


async def caught_up(who: FaultClient) -> float:
    """Notice the loss, come back, and hear that nothing is missing; returns when."""
    before = who.connections
    await who.until(
        lambda f: f["type"] == "replayed" and who.connections > before, PATIENCE
    )
    return time.monotonic()


async def test_a_storm_of_reconnections_is_caught_up_with(
    field: Field, client: OpenClient
) -> None:
    field.spare.thaw()
    with FaultProxy(field.server.port) as proxy:
        behind = Behind(field, proxy)
        people = [await client(field, behind) for _ in range(CLIENTS)]
        for one in people:
            one.gaps = (
                True  # in the crush an end, found by the poll, may pass a late hint
            )
        gate = asyncio.Semaphore(AT_ONCE)

        async def first_turn(who: FaultClient) -> str:
            async with gate:
                return str((await turn(who))["thread_id"])

        threads = await asyncio.gather(*map(first_turn, people))

        for _ in range(STORMS):
            coming = [asyncio.create_task(caught_up(one)) for one in people]
            began = time.monotonic()
            assert await asyncio.to_thread(proxy.reset) == CLIENTS
            took = sorted([at - began for at in await asyncio.gather(*coming)])
            assert took[int(CLIENTS * 0.99)] < GENEROUS, took[-10:]

        asked = zip(people[:20], threads, strict=False)
        await asyncio.gather(*(turn(who, thread_id=at) for who, at in asked))
        for one in people:
            assert one.connections == STORMS + 1, one.refused
            await one.close()

    said = field.server.said()
    assert "couldn't get a connection" not in said
    assert "Traceback" not in said
