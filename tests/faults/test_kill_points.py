"""F1, F2 and F4: a process is killed at each named point; nothing is lost, doubled or left behind."""

from __future__ import annotations

import asyncio
import signal

import pytest

from apps.core.faults import NAMES
from tests.faults.client import execution_of
from tests.faults.conftest import Embedded, Field, OpenClient

pytestmark = [
    pytest.mark.faults,
    pytest.mark.live,
    pytest.mark.integration,
    pytest.mark.mission_critical,
]
GOLDEN = "".join(f"tok{n} " for n in range(20))
SERVERS_ONLY = {"in_intake", "in_sweep"}
WITH_EFFECTS = {"in_step"}  # golden-turn has no tool with side effects
IN_A_TURN = sorted(NAMES.keys() - SERVERS_ONLY - WITH_EFFECTS)
BEFORE_THE_END = set(IN_A_TURN) - {"finished"}


@pytest.mark.xdist_group("faults-kill-points")
@pytest.mark.parametrize("point", IN_A_TURN)
async def test_a_worker_killed_there_is_replaced(
    point: str, field: Field, client: OpenClient
) -> None:
    alice = await client(field)
    worker = field.worker(fault=f"{point}:1")

    asked = await alice.ask("golden-turn")
    code = worker.until_dead()
    field.spare.thaw()
    end = await alice.end_of(asked["execution_id"], field.RECOVERY)

    assert code == -signal.SIGKILL
    assert end["data"]["text"] == GOLDEN
    attempts = alice.attempts(asked["execution_id"])
    if point == "after_commit":  # its first commit may be a sweep's, before any claim
        assert attempts in ([], [2])
    else:
        assert attempts == ([2] if point in BEFORE_THE_END else [])


@pytest.mark.xdist_group("faults-embedded")
@pytest.mark.parametrize("point", sorted({*IN_A_TURN, "in_intake"}))
async def test_a_server_on_sqlite_killed_there_goes_on_when_it_is_back(
    point: str, embedded: Embedded, client: OpenClient
) -> None:
    netra = embedded(f"{point}:1")
    alice = await client(netra)
    asked_for = {"text": "hello", "agent": "golden-turn"}

    asking = asyncio.create_task(
        alice.send("user_message", id="question", **asked_for)
    )  # it may die before it listens
    code = await asyncio.to_thread(netra.until_dead)
    await asyncio.to_thread(netra.restart)
    await asking
    accepted = (await alice.answer("question", "message_accepted"))["data"]
    end = await alice.end_of(accepted["execution_id"], patience=15)

    assert code == -signal.SIGKILL
    assert end["data"]["text"] == GOLDEN
    assert len(netra.rows("SELECT id FROM chat_message WHERE role = 'user'")) == 1


@pytest.mark.xdist_group("faults-embedded")
async def test_a_sweeper_killed_between_two_leaves_both_recovered(
    embedded: Embedded, client: OpenClient
) -> None:
    netra = embedded()
    people = [await client(netra) for _ in range(3)]
    asked = [await one.ask("slow-turn") for one in people]
    for one, its in zip(people, asked, strict=True):
        await one.until_text(its["execution_id"])

    assert netra.doomed("in_sweep:2") == -signal.SIGKILL
    netra.restart()

    for one, its in zip(people, asked, strict=True):
        end = await one.end_of(its["execution_id"], patience=30)
        assert end["type"] == "agent_completed"
        assert execution_of(netra.rows, its["execution_id"])["attempt"] in {2, 3}


@pytest.mark.xdist_group("faults-kill-points")
async def test_a_workers_whole_process_group_may_go_at_once(
    field: Field, client: OpenClient
) -> None:
    people = [await client(field) for _ in range(3)]
    worker = field.worker()
    asked = [await one.ask("slow-turn") for one in people]
    for one, its in zip(people, asked, strict=True):
        await one.until_text(its["execution_id"])

    worker.kill()
    field.spare.thaw()

    for one, its in zip(people, asked, strict=True):
        await one.end_of(its["execution_id"], field.RECOVERY)
        assert one.attempts(its["execution_id"]) == [2]
