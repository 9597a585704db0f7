"""People who chat all the time while something is done to Netra, and count what they asked."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from tests.faults.client import FaultClient
from tests.live.chat import Frame

GOLDEN = "".join(f"tok{n} " for n in range(20))
SLOW = "".join(f"tok{n} " for n in range(100))
TEXTS = {"golden-turn": GOLDEN, "slow-turn": SLOW}
LONG = 90.0


async def put(
    who: FaultClient, agent: str, text: str = "hello", **data: object
) -> Frame:
    """Ask, however long the answer to that takes."""
    frame_id = str(uuid.uuid4())
    await who.send("user_message", id=frame_id, text=text, agent=agent, **data)
    answer = await who.until(lambda f: f.get("id") == frame_id, patience=LONG)
    assert answer["type"] == "message_accepted", answer
    taken: Frame = answer["data"]
    return taken


async def ends_well(who: FaultClient, its: Frame, agent: str) -> None:
    end = await who.end_of(its["execution_id"], patience=LONG)
    assert end["data"].get("text") == TEXTS[agent], end


async def turn(who: FaultClient, agent: str = "golden-turn", **data: object) -> Frame:
    """Ask, and hear the right answer."""
    its = await put(who, agent, **data)
    await ends_well(who, its, agent)
    return its


class Crowd:
    """Chats on, each person in one thread; `turns` counts the answers of each."""

    def __init__(self, people: Sequence[FaultClient], agents: Sequence[str]) -> None:
        self.people, self.agents = people, agents
        self.turns = [0] * len(people)
        self.over = asyncio.Event()

    async def until(self, more: int) -> None:
        """Return after so many more answers."""
        wanted = sum(self.turns) + more
        async with asyncio.timeout(LONG):
            while sum(self.turns) < wanted:  # noqa: ASYNC110 - a count rings no bell
                await asyncio.sleep(0.02)

    async def chat(self, n: int) -> None:
        who, agent = self.people[n], self.agents[n % len(self.agents)]
        thread: dict[str, object] = {}
        while not self.over.is_set():
            its = await turn(who, agent, **thread)
            thread = {"thread_id": its["thread_id"]}
            self.turns[n] += 1


@asynccontextmanager
async def chatting(people: Sequence[FaultClient], *agents: str) -> AsyncIterator[Crowd]:
    """Let people chat while the block runs; at its end each hears its last answer out."""
    crowd = Crowd(people, agents or ("golden-turn",))
    chats = [asyncio.create_task(crowd.chat(n)) for n in range(len(people))]
    try:
        yield crowd
        crowd.over.set()
        await asyncio.gather(*chats)
    finally:
        for chat in chats:
            chat.cancel()
        await asyncio.gather(*chats, return_exceptions=True)
