"""F1 to F3, F12, F13, F26: servers and workers are killed, stopped, called twice, and killed again."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time

import pytest

from tests.faults.client import execution_of
from tests.faults.conftest import Field, OpenClient, armed, eventually
from tests.live.installation import ROOT

pytestmark = [
    pytest.mark.faults,
    pytest.mark.live,
    pytest.mark.integration,
    pytest.mark.mission_critical,
    pytest.mark.xdist_group("faults-processes"),
]
GOLDEN = "".join(f"tok{n} " for n in range(20))
SLOW = "".join(f"tok{n} " for n in range(100))
RUNNING_AGAIN = 35.0  # seconds after kill -9 of a worker, with the product's own lease
CALL = """
import sys, uuid, django
django.setup()
from netra.celery import Publisher
call = Publisher()
for _ in range(int(sys.argv[3])):
    call(uuid.UUID(sys.argv[1]), uuid.UUID(sys.argv[2]))
"""


def call_workers(field: Field, execution_id: str, times: int) -> None:
    """Send the same task again and again."""
    environment = field.environment | {"DJANGO_SETTINGS_MODULE": "netra.settings"}
    organisation = str(execution_of(field.rows, execution_id)["organisation_id"])
    command = [sys.executable, "-c", CALL, execution_id, organisation, str(times)]
    subprocess.run(command, cwd=ROOT, env=environment, timeout=60, check=True)


def history(field: Field) -> list[list[tuple[object, ...]]]:
    """Everything that a writer could have changed."""
    return [
        field.rows(f"SELECT * FROM {table} ORDER BY id")  # noqa: S608
        for table in (
            "executions_execution", "executions_event", "executions_transition",
            "executions_attempt", "executions_content", "executions_stream", "chat_message",
            "executions_phaseentry",
        )
    ]  # fmt: skip


async def test_with_its_own_lease_a_killed_workers_execution_runs_again_within_35_seconds(
    field: Field, client: OpenClient
) -> None:
    alice = await client(field)
    worker = field.worker(NETRA_LEASE_SECONDS="30")
    asked = await alice.ask("slow-turn")
    await alice.until_text(asked["execution_id"])

    worker.kill()
    killed = time.monotonic()
    field.spare.thaw()
    await alice.until(lambda f: f["type"] == "attempt_started", patience=RUNNING_AGAIN)
    again = time.monotonic() - killed
    await alice.end_of(asked["execution_id"])

    assert again <= RUNNING_AGAIN


async def test_a_worker_that_was_frozen_finds_that_its_execution_is_anothers(
    field: Field, client: OpenClient
) -> None:
    alice = await client(field)
    zombie = field.worker()
    asked = await alice.ask("slow-turn")
    await alice.until_text(asked["execution_id"], 40)

    zombie.freeze()
    field.spare.thaw()
    end = await alice.end_of(asked["execution_id"], field.RECOVERY)
    before = history(field)
    zombie.thaw()
    await eventually(lambda: asked["execution_id"] in zombie.said())

    assert history(field) == before
    assert end["data"]["text"] == SLOW
    assert alice.attempts(asked["execution_id"]) == [2]
    field.spare.freeze()  # and it is of use again
    second = await alice.ask("golden-turn", thread_id=asked["thread_id"])
    assert (await alice.end_of(second["execution_id"]))["data"]["text"] == GOLDEN


async def test_a_task_that_is_delivered_ten_times_is_claimed_once(
    field: Field, client: OpenClient
) -> None:
    alice, other = await client(field), field.worker()
    other.freeze()
    asked = await alice.ask("golden-turn")

    call_workers(field, asked["execution_id"], 10)
    other.thaw()
    field.spare.thaw()
    await alice.end_of(asked["execution_id"])
    call_workers(field, asked["execution_id"], 10)
    second = await alice.ask("golden-turn", thread_id=asked["thread_id"])
    await alice.end_of(second["execution_id"])

    for its in (asked, second):
        row = execution_of(field.rows, its["execution_id"])
        assert (row["state"], row["fence"], row["attempt"]) == ("completed", 1, 1)


async def test_an_execution_that_kills_its_workers_ends_dead_and_blocks_nobody(
    field: Field, client: OpenClient
) -> None:
    alice, bob = await client(field), await client(field)
    workers = [field.worker(fault="after_start:1") for _ in range(3)]

    asked = await alice.ask("golden-turn")
    end = await alice.end_of(asked["execution_id"], patience=60)
    field.spare.thaw()
    after = await bob.ask("golden-turn")

    assert (await bob.end_of(after["execution_id"]))["data"]["text"] == GOLDEN
    assert end["type"] == "agent_error"
    assert end["data"]["code"] == "dead"
    assert [worker.alive for worker in workers] == [False] * 3
    row = execution_of(field.rows, asked["execution_id"])
    assert (row["state"], row["attempt"], row["fence"]) == ("dead", 3, 3)


async def test_when_its_server_is_killed_a_client_goes_on_at_the_other(
    field: Field, client: OpenClient
) -> None:
    one, other = field.servers(2)
    field.spare.thaw()
    people = [await client(field, one, other) for _ in range(3)]
    asked = [await person.ask("slow-turn") for person in people]
    together = list(zip(people, asked, strict=True))
    await asyncio.gather(
        *(p.until_text(its["execution_id"], 60) for p, its in together)
    )

    one.kill()
    ends = await asyncio.gather(*(p.end_of(its["execution_id"]) for p, its in together))

    assert [end["data"]["text"] for end in ends] == [SLOW] * 3
    for person, its in together:
        assert person.connections >= 2
        assert person.attempts(its["execution_id"]) == []  # nobody's work was disturbed


async def test_a_server_killed_before_it_answered_has_taken_the_question_once(
    field: Field, client: OpenClient
) -> None:
    (dying,) = field.servers(1, **armed("after_commit:1"))
    field.spare.thaw()
    alice = await client(field, dying, field.server)

    asked = await alice.ask("golden-turn")
    end = await alice.end_of(asked["execution_id"])

    assert end["data"]["text"] == GOLDEN
    assert not dying.alive
    assert (
        len(field.rows("SELECT id FROM chat_thread WHERE id = ?", asked["thread_id"]))
        == 1
    )
