"""Hints that are lost, late, doubled or shuffled change when an event comes, and nothing else.

The faults sit between the hub's two halves; writers, log, subscriptions and poll are the real ones.
"""

from __future__ import annotations

import asyncio
import random
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import partial

import pytest
from django.utils import timezone

from apps.chat import delivery as module
from apps.chat.delivery import delivery
from apps.core.database import write
from apps.core.hub import Hub
from apps.executions import journal
from apps.executions.journal import Draft
from apps.executions.states import EventType
from tests import factories
from tests.chat.questions import aside
from tests.chat.sockets import Client

pytestmark = [pytest.mark.mission_critical, pytest.mark.usefixtures("committed")]
EVENTS = 60
POLL = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Weather:
    """How hints fare; each number is a share of all of them."""

    lost: float = 0.0
    doubled: float = 0.0
    late: float = 0.0


WEATHERS = {
    "fair": Weather(),
    "5 % lost": Weather(lost=0.05),
    "all lost": Weather(lost=1.0),
    "doubled": Weather(doubled=0.5),
    "late and so shuffled": Weather(late=0.7),
    "everything": Weather(lost=0.2, doubled=0.3, late=0.5),
}


def spoil(hub: Hub, weather: Weather, dice: random.Random) -> None:
    """Put the weather between `publish` and `deliver`."""
    deliver, loop = hub.deliver, asyncio.get_running_loop()

    def lossy(topic: str, message: object) -> None:
        for _ in range(2 if dice.random() < weather.doubled else 1):
            if dice.random() < weather.lost:
                continue
            if dice.random() < weather.late:
                wait = dice.uniform(0, 0.05)
                loop.call_soon_threadsafe(
                    loop.call_later, wait, deliver, topic, message
                )
            else:
                deliver(topic, message)

    hub.deliver = lossy  # type: ignore[method-assign]


@pytest.fixture
async def polled(live_hub, monkeypatch) -> AsyncIterator[Hub]:
    monkeypatch.setattr(module, "POLL_SECONDS", POLL)
    monkeypatch.setattr(module, "HINT_SECONDS", 0.01)
    delivery.start()
    yield live_hub
    await delivery.stop()
    live_hub.__dict__.pop("deliver", None)


async def tell(who, thread_id: uuid.UUID, dice: random.Random) -> None:
    """Write the whole log, a few events at a time."""
    left = EVENTS
    while left:
        count = min(left, dice.randint(1, 4))
        left -= count
        unit = partial(
            journal.append,
            organisation_id=who.organisation_id,
            stream_id=thread_id,
            drafts=[Draft(type=EventType.MESSAGE_CREATED) for _ in range(count)],
            now=timezone.now(),
        )
        await write(who.scope, unit)
        await asyncio.sleep(dice.uniform(0, 0.01))


async def watch(
    who, thread_id: uuid.UUID, *, dice: random.Random, leaves: float
) -> list[int]:
    """Everything that somebody receives who goes and comes back again and again."""
    seen: list[int] = []
    while not seen or seen[-1] < EVENTS:
        client = Client(who)
        after = seen[-1] if seen else 0
        await client.ask("subscribe", thread_id=thread_id, after=after)
        stay = dice.uniform(0, leaves) if leaves else 60
        try:
            async with asyncio.timeout(stay):
                await client.until(lambda c=client: EVENTS in c.numbers())
        except TimeoutError:
            assert leaves, f"only {client.numbers()} came"
        await client.leave()
        seen += client.numbers()
    return seen


@pytest.mark.parametrize("weather", WEATHERS.values(), ids=WEATHERS)
async def test_nothing_is_lost_doubled_or_out_of_order(
    polled: Hub, alice_principal, bob_principal, weather: Weather
):
    dice = random.Random(str(weather))  # noqa: S311 - any order will do
    threads = [
        (who, (await aside(factories.thread, who)).pk)
        for who in (alice_principal, bob_principal)
    ]
    spoil(polled, weather, dice)

    async with asyncio.timeout(60):
        *received, _, _ = await asyncio.gather(
            *(
                watch(*thread, dice=dice, leaves=leaves)
                for thread in threads
                for leaves in (0, 0.1)
            ),
            *(tell(*thread, dice) for thread in threads),
        )

    assert received == [list(range(1, EVENTS + 1))] * 4
    await asyncio.sleep(
        0.1
    )  # what is late comes while the loop lives, and finds nobody


async def test_without_the_poll_lost_hints_would_be_lost_events(
    live_hub: Hub, alice_principal
):
    thread_id = (await aside(factories.thread, alice_principal)).pk
    spoil(live_hub, Weather(lost=1.0), random.Random(1))  # noqa: S311
    client = Client(alice_principal)
    await client.ask("subscribe", thread_id=thread_id)
    await client.until(lambda: client.of("replayed"))

    await tell(alice_principal, thread_id, random.Random(1))  # noqa: S311
    assert client.numbers() == []
    await delivery.check()
    await client.until(lambda: EVENTS in client.numbers())

    assert client.numbers() == list(range(1, EVENTS + 1))
    await client.leave()
    live_hub.__dict__.pop("deliver", None)
