"""`decide` over the socket: who may answer, what is refused by name, and what watchers hear."""

from __future__ import annotations

import asyncio
import json
import uuid
from typing import Any

import pytest
from django.utils import timezone

from apps.accounts.credentials import Credential
from apps.chat.connections import Connection
from apps.chat.limits import Limits
from apps.chat.outbox import Outbox
from apps.chat.router import router
from apps.core.database import read
from apps.executions import approvals, queries
from apps.executions.errors import ApprovalRequest
from apps.executions.models import Approval
from apps.executions.standing import Standing
from tests import factories
from tests.chat.questions import aside
from tests.factories import TESTS

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("committed")]
CALL = "send:abc:1:1"
LIMITS = Limits(
    text_max=100, messages_per_minute=9, connections=2, idle_seconds=10, window=None
)


@pytest.fixture
async def paused(alice_principal) -> Standing:
    def prepare() -> Standing:
        thread = factories.thread(alice_principal)
        standing = factories.running(alice_principal, stream_id=thread.pk)
        request = ApprovalRequest(call_id=CALL, tool="send", arguments={}, reason="?")
        return factories.unit(
            standing, lambda: approvals.ask(standing, request, now=timezone.now())
        )

    return await aside(prepare)


def connection_of(who) -> Connection:
    async def nothing(*_: object) -> None:
        raise AssertionError("nothing is sent or ended here")

    return Connection(
        principal=who,
        credential=Credential("token", "t"),
        limits=LIMITS,
        outbox=Outbox(nothing),
        end=nothing,
    )


def frames(connection: Connection) -> list[dict]:
    """What waits to be sent."""
    return [json.loads(text) for text, *_ in connection.outbox._frames]


async def decide(who, standing: Standing, **data: Any) -> list[dict]:
    """Send one frame as that person; returns what the socket was answered."""
    connection = connection_of(who)
    given = {"execution_id": str(standing.id), "call_id": CALL, "approve": True} | data
    frame = {
        "type": "decide",
        "id": "d1",
        "data": {name: value for name, value in given.items() if value is not ...},
    }
    await router.route(connection, json.dumps(frame))
    return frames(connection)


async def answer(standing: Standing) -> tuple[bool | None, uuid.UUID | None, str]:
    row = await read(TESTS, lambda: Approval.objects.get(execution_id=standing.id))
    return row.approved, row.decided_by, row.comment


@pytest.mark.parametrize("approve", [True, False])
async def test_the_owner_decides_and_the_event_is_the_answer(
    approve: bool, paused, alice_principal
):
    answered = await decide(
        alice_principal, paused, approve=approve, reason="I looked."
    )

    log = await read(TESTS, lambda: queries.events_after(paused.stream_id, 0))
    assert answered == []
    assert await answer(paused) == (approve, alice_principal.user_id, "I looked.")
    assert (log[-1].type, log[-1].payload["approved"]) == ("approval_decided", approve)


async def test_a_second_answer_is_a_conflict(paused, alice_principal):
    await decide(alice_principal, paused, approve=True)

    (refusal,) = await decide(alice_principal, paused, approve=False)

    assert (refusal["type"], refusal["id"]) == ("error", "d1")
    assert refusal["data"]["code"] == "already_decided"
    assert (await answer(paused))[0] is True


@pytest.mark.security
@pytest.mark.parametrize("who", ["mallory_principal", "bob_principal"])
async def test_for_anybody_else_there_is_no_such_execution(who: str, paused, request):
    principal = await aside(request.getfixturevalue, who)

    (refusal,) = await decide(principal, paused)
    (absent,) = await decide(principal, paused, execution_id=str(uuid.uuid4()))

    def bare(frame: dict) -> dict:
        return frame["data"] | {"receipt_id": None}

    assert refusal["data"]["code"] == "not_found"
    assert bare(refusal) == bare(absent)
    assert (await answer(paused))[0] is None


@pytest.mark.parametrize(
    ("data", "field"),
    [
        ({"execution_id": ...}, "execution_id"),
        ({"execution_id": 5}, "execution_id"),
        ({"execution_id": "not-a-uuid"}, "execution_id"),
        ({"call_id": ...}, "call_id"),
        ({"call_id": None}, "call_id"),
        ({"call_id": 7}, "call_id"),
        ({"call_id": "c" * 201}, "call_id"),
        ({"call_id": "c\u0000"}, "call_id"),
        ({"call_id": "send:other:1:1"}, "call_id"),
        ({"approve": ...}, "approve"),
        ({"approve": None}, "approve"),
        ({"approve": "true"}, "approve"),
        ({"approve": 1}, "approve"),
        ({"reason": ["x"]}, "reason"),
        ({"reason": "r" * 301}, "reason"),
        ({"reason": "\ud800"}, "reason"),
    ],
    ids=str,
)
async def test_what_is_wrong_is_refused_by_name(
    data: dict, field: str, paused, alice_principal
):
    (refusal,) = await decide(alice_principal, paused, **data)

    assert refusal["data"]["field"] == field
    assert refusal["data"]["fix"]
    assert (await answer(paused))[0] is None


@pytest.mark.parametrize("reason", [None, "", "  ", ...], ids=str)
async def test_a_reason_may_be_missing(reason, paused, alice_principal):
    assert await decide(alice_principal, paused, reason=reason) == []
    assert await answer(paused) == (True, alice_principal.user_id, "")


@pytest.mark.regression
async def test_who_comes_back_finds_the_question_still_open(
    paused, alice_principal, live_hub
):
    """The attempt to come is not announced yet: told of it, a client would void the question."""
    connection = connection_of(alice_principal)
    data = {"thread_id": str(paused.stream_id), "after": 0}
    await router.route(connection, json.dumps({"type": "subscribe", "data": data}))
    async with asyncio.timeout(10):
        while not (  # noqa: ASYNC110 - an outbox does not ring
            found := [f for f in frames(connection) if f["type"] == "replayed"]
        ):
            await asyncio.sleep(0.01)
    connection.unsubscribe(paused.stream_id)

    ((execution,),) = (frame["data"]["executions"] for frame in found)
    assert (paused.attempt, execution["attempt"]) == (2, 1)
    assert execution["state"] == "pending"
