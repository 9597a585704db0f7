"""The one server process is killed or asked to go, in the middle of answers, and comes back."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.live.chat import TERMINAL, Chat, Frame, check_log
from tests.live.conftest import seeded  # noqa: F401 - a fixture, used by name
from tests.live.installation import Installation

pytestmark = [pytest.mark.faults, pytest.mark.live, pytest.mark.integration]
SLOW = "".join(f"tok{n} " for n in range(100))
GOLDEN = "".join(f"tok{n} " for n in range(20))
# A turn takes ten seconds; whoever waited for a lease of thirty would need forty.
CLAIMED_SECONDS, ENDED_SECONDS = 5.0, 25.0


async def come_back(at: Installation, before: Chat, asked: dict[str, Any]) -> Chat:
    """Connect again as the same person and replay from what had been seen."""
    chat = await Chat.open(at, before.person)
    seen = max((e["seq"] for e in before.events(asked["thread_id"])), default=0)
    await chat.subscribe(asked["thread_id"], after=seen)
    return chat


def all_events(before: Chat, after: Chat, asked: dict[str, Any]) -> list[Frame]:
    thread = asked["thread_id"]
    return [*before.events(thread), *after.events(thread)]


def check_rows(at: Installation) -> None:
    """What must hold in the database, whatever happened (I1, I5)."""
    assert (
        at.rows(
            "SELECT s.id FROM executions_stream s LEFT JOIN executions_event e"
            " ON e.stream_id = s.id GROUP BY s.id HAVING count(e.id) <> s.last"
            " OR coalesce(min(e.seq), 1) <> 1 OR coalesce(max(e.seq), 0) <> s.last"
        )
        == []
    )
    assert (
        at.rows(
            "SELECT x.id FROM executions_execution x JOIN executions_event e"
            " ON e.execution_id = x.id GROUP BY x.id"
            " HAVING sum(e.final) <> (x.finished_at IS NOT NULL)"
            " OR (sum(e.final) = 1 AND max(e.seq) <> max(e.seq * e.final))"
        )
        == []
    )


@dataclass
class Asked:
    """A question, the socket that asked it, and the one that came back for its answer."""

    chat: Chat
    ids: dict[str, Any]
    again: Chat | None = None

    @property
    def events(self) -> list[Frame]:
        assert self.again
        return all_events(self.chat, self.again, self.ids)

    @property
    def ends(self) -> list[Frame]:
        return [event for event in self.events if event["type"] in TERMINAL]


async def ask(at: Installation, agent: str) -> Asked:
    chat = await Chat.open(at, at.someone())
    return Asked(chat, await chat.ask(agent))


async def until_claimed(at: Installation) -> None:
    """Wait until nothing that may run waits for a runner."""
    query = "SELECT id FROM executions_execution WHERE state = 'pending' AND waiting_for = ''"
    async with asyncio.timeout(CLAIMED_SECONDS):
        while at.rows(query):  # noqa: ASYNC110 - a database file rings no bell
            await asyncio.sleep(0.1)


async def test_what_was_killed_in_the_middle_is_taken_up_and_ends(
    victim: Installation,
):
    done = await ask(victim, "golden-turn")
    await done.chat.end_of(done.ids["execution_id"])
    late, queued = await ask(victim, "slow-turn"), await ask(victim, "slow-turn")
    second = await queued.chat.ask("golden-turn", thread_id=queued.ids["thread_id"])
    while len(late.chat.text_of(late.ids["execution_id"])) < 80:  # past a checkpoint
        await late.chat.receive()
    early, stopped = await ask(victim, "slow-turn"), await ask(victim, "hanging-turn")
    await early.chat.until(lambda f: f["type"] == "message_delta")
    await stopped.chat.send("cancel", id="c", execution_id=stopped.ids["execution_id"])
    await stopped.chat.answer("c", "cancel_accepted")
    fresh = await ask(victim, "golden-turn")  # accepted, and killed in the same breath
    everything = (done, late, queued, early, stopped, fresh)

    victim.kill()
    for one in everything:
        await one.chat.close_code()  # what was on its way is read
    victim.start()
    began = time.monotonic()
    for one in everything:
        one.again = await come_back(victim, one.chat, one.ids)
    await until_claimed(victim)
    async with asyncio.timeout(began + ENDED_SECONDS - time.monotonic()):
        for one in everything:
            while not one.ends:
                await one.again.receive()
    await queued.again.end_of(second["execution_id"])

    for one in everything:
        check_log(one.events)
        assert len(one.ends) == (2 if one is queued else 1)
        await one.again.close()
    for one in (early, late, queued):
        (attempt,) = [e for e in one.events if e["type"] == "attempt_started"]
        assert attempt["data"]["attempt"] == 2
        joined = one.again.text_of(one.ids["execution_id"])
        assert one.ends[0]["data"]["text"] == SLOW == joined
    assert [e["type"] for e in stopped.ends] == ["agent_cancelled"]
    assert fresh.ends[0]["data"]["text"] == GOLDEN
    check_rows(victim)


async def test_who_is_asked_to_go_hands_back_what_it_cannot_finish(
    victim: Installation,
):
    hanging, quick = [await Chat.open(victim, victim.someone()) for _ in range(2)]
    left = await hanging.ask("hanging-turn")
    done = await quick.ask("slow-turn")
    await hanging.until(lambda f: f["type"] == "agent_thinking")
    while len(quick.text_of(done["execution_id"])) < 60:
        await quick.receive()

    code = await asyncio.to_thread(victim.terminate)

    assert code == 0
    assert await quick.close_code() == 4503
    assert await hanging.close_code() == 4503
    states = dict(victim.rows("SELECT agent, state FROM executions_execution"))
    assert states == {"hanging-turn": "pending", "slow-turn": "completed"}
    assert quick.text_of(done["execution_id"]) == SLOW
    check_rows(victim)

    victim.start()
    again = await come_back(victim, hanging, left)
    await again.send("cancel", execution_id=left["execution_id"])
    end = await again.end_of(left["execution_id"], patience=CLAIMED_SECONDS)
    assert end["type"] == "agent_cancelled"
    check_log(all_events(hanging, again, left))
    check_rows(victim)
    await again.close()


async def test_a_second_server_on_the_same_folder_is_refused_with_a_sentence(
    victim: Installation,
):
    second = await asyncio.to_thread(victim.second_server)

    assert second.returncode != 0
    assert "another Netra server" in second.stderr
    assert "Traceback" not in second.stderr
    chat = await Chat.open(victim, victim.someone())
    asked = await chat.ask("golden-turn")
    assert (await chat.end_of(asked["execution_id"]))["data"]["text"] == GOLDEN
    await chat.close()


async def test_the_lock_of_a_killed_server_is_free_again(victim: Installation):
    victim.kill()
    victim.start()

    chat = await Chat.open(victim, victim.someone())
    assert (await chat.receive())["type"] == "connection_established"
    await chat.close()


@pytest.mark.parametrize("kind", ["daphne", "uvicorn"])
async def test_a_server_without_tables_says_what_to_run(tmp_path: Path, kind: str):
    empty = Installation(tmp_path, server=kind)

    done = await asyncio.to_thread(empty.second_server)

    assert done.returncode == 1
    assert "manage.py migrate" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.regression
@pytest.mark.parametrize("kind", ["daphne", "uvicorn"])
async def test_a_server_that_cannot_begin_its_work_does_not_stay(
    seeded: Installation,  # noqa: F811 - the fixture itself
    tmp_path: Path,
    kind: str,
):
    """It cannot recover what it cannot read: then it must not serve."""
    broken = Installation(tmp_path, server=kind)
    broken.copy_of(seeded)
    with closing(sqlite3.connect(tmp_path / "netra.sqlite3")) as database:
        database.execute("ALTER TABLE executions_execution RENAME TO gone")

    done = await asyncio.to_thread(broken.second_server)

    assert done.returncode != 0
    assert "no such table" in done.stderr
