"""The workers' door: a task is a wake-up call, and sent ten times it runs once."""

from __future__ import annotations

import asyncio
import uuid

import pytest
from celery import current_app
from django.db import connection

from apps.core import database
from apps.core.hub import hub
from apps.executions import runners, tasks
from apps.executions.runner import Runner
from apps.executions.runners import Outcome
from apps.executions.states import ExecutionState
from tests import factories


async def beside(work, *given, **named):
    """Run `work` in a thread, and leave no connection of that thread behind."""

    def run():
        try:
            return work(*given, **named)
        finally:
            connection.close()

    return await asyncio.to_thread(run)


async def says_hello(lease) -> Outcome:
    lease.say("hello")
    await asyncio.sleep(0.2)
    return Outcome(text="hello")


@pytest.fixture
async def runner(live_hub, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("apps.executions.runner.POLL_SECONDS", 60.0)
    monkeypatch.setitem(runners._paths, "tests.hello", f"{__name__}:says_hello")
    made = Runner()
    monkeypatch.setattr(tasks, "runner", made)
    await made.start()
    await asyncio.sleep(0.05)  # its first poll finds nothing yet
    yield made
    await made.stop(drain=0.1)
    await asyncio.to_thread(database.close)


def test_the_tasks_have_the_names_that_servers_send_to() -> None:
    assert {tasks.run.name, tasks.sweep.name} == {"executions.run", "executions.sweep"}
    assert {"executions.run", "executions.sweep"} <= set(current_app.tasks)


@pytest.mark.mission_critical
async def test_the_same_message_ten_times_runs_once_and_each_waits_for_the_end(
    committed, runner: Runner, alice_principal
) -> None:
    standing = await beside(factories.execution, alice_principal, runner="tests.hello")

    answers = await asyncio.gather(
        *(asyncio.to_thread(tasks.run, str(standing.id)) for _ in range(5))
    )

    present = await beside(factories.present, standing)
    assert present.state is ExecutionState.COMPLETED
    assert (present.fence, present.attempt) == (1, 1)
    assert any(answers)
    assert await asyncio.to_thread(tasks.run, str(standing.id)) is False


async def test_an_unknown_id_and_a_full_process_are_no_errors(
    committed, runner: Runner, alice_principal
) -> None:
    standing = await beside(factories.execution, alice_principal, runner="tests.hello")
    runner.capacity = 0

    assert await asyncio.to_thread(tasks.run, str(uuid.uuid4())) is False
    assert await asyncio.to_thread(tasks.run, str(standing.id)) is False
    present = await beside(factories.present, standing)
    assert present.state is ExecutionState.PENDING


def test_a_process_without_a_runner_takes_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tasks, "runner", Runner())

    assert tasks.run(str(uuid.uuid4())) is False
    assert hub.topics() == []
