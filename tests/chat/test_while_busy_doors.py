"""A second message while one runs, through the doors and with a runner at work."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from functools import partial

import pytest

from apps.accounts.credentials import Credential
from apps.agents.catalogue import WhileBusy
from apps.audits.models import Receipt
from apps.chat import actions
from apps.chat.actions import Asked, Question
from apps.chat.connections import Connection
from apps.chat.limits import Limits
from apps.chat.outbox import Outbox
from apps.chat.precedence import INTERRUPTED
from apps.chat.router import router
from apps.core.database import read, write
from apps.executions import queries
from apps.executions.models import Execution
from apps.executions.runner import Runner
from tests import doors
from tests.chat.busy import ends_of, set_policy
from tests.chat.questions import aside, ask
from tests.factories import TESTS
from tests.invariants import violations
from tests.sources import ROOT

pytestmark = pytest.mark.integration
PATIENCE = 20.0


# -- the doors ---------------------------------------------------------------------------


def test_a_refusal_over_http_is_a_conflict_with_a_receipt(alice_principal):
    set_policy(alice_principal, WhileBusy.REJECT)
    client, thread = (
        doors.api_client(alice_principal),
        doors.open_thread(alice_principal),
    )
    body = {"text": "hello", "agent": "golden-turn"}
    taken = doors.ask(client, thread, body).json()

    problem = doors.problem_of(doors.ask(client, thread, body))

    assert (taken["queued"], taken["policy"]) == (False, "reject")
    assert (problem["status"], problem["code"]) == (409, "thread_busy")
    with TESTS:
        receipt = Receipt.objects.get(id=problem["receipt_id"])
    assert receipt.user_id == alice_principal.user_id
    assert receipt.values["agent"] == "golden-turn"


# -- with everything running -----------------------------------------------------------


@pytest.fixture
async def at_work(committed, live_hub, monkeypatch) -> AsyncIterator[Runner]:
    """A runner of the test's own, on its loop."""
    runner = Runner()
    monkeypatch.setattr("apps.executions.receivers.runner", runner)
    await runner.start()
    yield runner
    await runner.stop(drain=0.1)


async def reached(asked: Asked, *states: str) -> Execution:
    def look() -> Execution | None:
        rows = Execution.objects.filter(id=asked.execution_id, state__in=states)
        found: Execution | None = rows.first()
        return found

    async with asyncio.timeout(PATIENCE):
        while (row := await read(TESTS, look)) is None:  # noqa: ASYNC110 - rows do not ring
            await asyncio.sleep(0.02)
    return row


@pytest.mark.golden_path
async def test_a_slow_answer_is_stopped_and_the_next_one_comes(
    at_work, alice_principal
):
    await aside(set_policy, alice_principal, WhileBusy.INTERRUPT)

    async def send(agent: str, **values: object) -> Asked:
        question = Question(text="hello", agent=agent, **values)  # type: ignore[arg-type]
        unit = partial(
            actions.ask,
            principal=alice_principal,
            question=question,
            claim=at_work.claim_at_intake,
        )
        return await write(alice_principal.scope, unit)

    slow = await send("slow-turn")
    await reached(slow, "running")
    quick = await send("golden-turn", thread_id=slow.thread_id)

    stopped = await reached(slow, "cancelled", "completed")
    done = await reached(quick, "completed", "failed", "cancelled")

    assert (stopped.state, done.state) == ("cancelled", "completed")
    assert stopped.finished_at <= done.started_at
    (end,) = await aside(ends_of, slow)
    assert (end["by"], end["reason"]) == ("user", INTERRUPTED)
    assert await aside(violations) == []


async def test_a_refusal_over_the_socket_is_one_error_frame_with_a_receipt(
    committed, alice_principal
):
    await aside(set_policy, alice_principal, WhileBusy.REJECT)
    first = await aside(ask, alice_principal)
    sent: list[str] = []

    async def take(text: str) -> None:
        sent.append(text)

    async def end(*_: object) -> None:
        raise AssertionError("the connection stays open")

    connection = Connection(
        principal=alice_principal,
        credential=Credential("bearer", "x"),
        limits=Limits.of(alice_principal.plan, window=None),
        outbox=Outbox(take),
        end=end,
    )
    frame = {
        "type": "user_message",
        "id": "m",
        "thread_id": str(first.thread_id),
        "data": {"text": "again", "agent": "golden-turn"},
    }

    writer = asyncio.create_task(connection.outbox.run())
    await router.route(connection, json.dumps(frame))

    async with asyncio.timeout(PATIENCE):
        while not sent:  # noqa: ASYNC110 - a list rings no bell
            await asyncio.sleep(0.005)
    writer.cancel()
    await asyncio.gather(writer, return_exceptions=True)
    (answer,) = (json.loads(text) for text in sent)
    assert (answer["type"], answer["id"]) == ("error", "m")
    assert answer["data"]["code"] == "thread_busy"
    assert answer["data"]["receipt_id"]
    alive = partial(queries.alive_in, first.thread_id)
    assert len(await read(TESTS, alive)) == 1


# -- the page ------------------------------------------------------------------------------


def test_the_page_and_its_script_say_why_an_answer_was_stopped(
    client, alice, alice_principal
):
    set_policy(alice_principal, WhileBusy.INTERRUPT)
    first = ask(alice_principal)
    ask(alice_principal, thread_id=first.thread_id)
    client.force_login(alice)

    page = client.get(f"/chat/{first.thread_id}/").content.decode()

    script = (ROOT / "static/netra/chat/events.js").read_text(encoding="utf-8")
    assert INTERRUPTED in page
    assert 'value="golden-turn" data-while-busy="interrupt"' in page
    assert f'"{INTERRUPTED}"' in script
