"""Behind each door somebody must stand: without a real context, nothing runs there."""

from __future__ import annotations

import dataclasses
import json
import uuid
from unittest.mock import sentinel
from uuid import UUID

import pytest
from django.test import Client

from apps.agents import toolbox
from apps.chat.consumers import ChatConsumer
from apps.executions import tasks
from apps.executions.contexts import UserExecutionContext
from apps.executions.errors import InvalidContextError
from apps.executions.leased import LeasedExecution
from apps.executions.runner import runner
from apps.executions.standing import Order
from apps.executions.states import ExecutionState
from apps.executions.tracker import get_execution_tracker
from tests import factories
from tests.doors import API, JSON, written
from tests.executions.test_tracker import context_of
from tests.factories import row

pytestmark = [pytest.mark.mission_critical, pytest.mark.security]
QUESTION = json.dumps({"type": "user_message", "data": {"text": "hello"}})
CANCEL = {"action": "cancel", "reason": "x", "confirmed": "1"}


async def test_websocket_a_socket_of_nobody_is_closed_before_its_first_frame(
    committed,
) -> None:
    sent, frames = (
        [],
        [
            {"type": "websocket.connect"},
            {"type": "websocket.receive", "text": QUESTION},
        ],
    )

    async def receive():
        return frames.pop(0)

    async def send(message):
        sent.append(message)

    scope = {
        "type": "websocket",
        "headers": [],
        "subprotocols": [],
        "query_string": b"",
    }
    await ChatConsumer()(scope, receive, send)

    assert sent[-1] == {"type": "websocket.close", "code": 4401}
    assert len(frames) == 1  # the question was not even read


@pytest.mark.parametrize("credential", ["", "Bearer nobodys-token", "Basic x"])
def test_rest_a_request_of_nobody_is_refused_and_writes_nothing(
    db, credential: str
) -> None:
    client = Client(headers={"Authorization": credential} if credential else {})
    before = written()

    answers = [
        client.get(f"{API}executions/"),
        client.get(f"{API}executions/{uuid.uuid4()}/"),
        client.post(f"{API}executions/{uuid.uuid4()}/cancel/"),
        client.post(f"{API}threads/", "{}", content_type=JSON),
    ]

    assert {answer.status_code for answer in answers} == {401}
    assert written() == before


@pytest.mark.parametrize("name", ["user_id", "organisation_id", "stream_id", "id"])
def test_worker_an_execution_of_nobody_has_no_context_to_work_in(
    alice_principal, name: str
) -> None:
    standing = factories.running(alice_principal)
    assert LeasedExecution(standing).context().user_id == alice_principal.user_id

    nobodys = LeasedExecution(dataclasses.replace(standing, **{name: UUID(int=0)}))

    with pytest.raises(InvalidContextError, match="nil UUID"):
        nobodys.context()


def test_worker_a_message_runs_no_execution_that_is_not_there(committed) -> None:
    assert tasks.run(str(uuid.uuid4())) is False
    assert runner.running == {}


@pytest.mark.parametrize(
    "nothing",
    [None, {}, "alice", type("DeepAgentState", (), {})(), sentinel.context],
    ids=["none", "dict", "text", "deep state", "anything"],
)
@pytest.mark.parametrize("tool", sorted(toolbox.TOOLS))
async def test_tool_without_a_context_no_tool_reads_a_row(
    tool: str, nothing: object
) -> None:
    function = toolbox.TOOLS[tool].function

    # No database fixture: a query would fail the test in another way.
    with pytest.raises((TypeError, InvalidContextError), match=r"UserExecutionContext"):
        await function(nothing)


async def test_tool_an_altered_context_reads_nothing(alice_principal) -> None:
    context = context_of(alice_principal)
    object.__setattr__(context, "organisation_id", uuid.uuid4())

    with pytest.raises(InvalidContextError, match="altered"):
        await toolbox.usage_summary(context)


def test_tracker_without_a_context_there_is_none(db) -> None:
    for nothing in (None, "alice", {}, {"user_id": "user1"}, object()):
        with pytest.raises((TypeError, ValueError)):
            get_execution_tracker(nothing)


@pytest.mark.parametrize("who", ["nobody", "alice"])
def test_admin_an_action_of_nobody_or_of_a_customer_moves_nothing(
    request, alice_principal, who: str
) -> None:
    standing = factories.execution(alice_principal)
    client = Client()
    if who == "alice":
        client.force_login(request.getfixturevalue("alice"))
    selected = {"_selected_action": [str(standing.id)]}

    answers = [
        client.post("/admin/executions/execution/", CANCEL | selected),
        client.post(f"/admin/executions/execution/{standing.id}/cancel/", CANCEL),
    ]

    assert {answer.status_code for answer in answers} <= {302, 403, 404}
    assert row(standing).state == ExecutionState.PENDING


@pytest.mark.parametrize(
    "state",
    [
        type("DeepAgentState", (dict,), {})(),
        {"user_request": "hello", "triage_result": {}},
    ],
    ids=["itself", "dump"],
)
def test_core_a_deep_agent_state_is_no_input_of_an_execution(
    alice_principal, state: dict
) -> None:
    with pytest.raises(InvalidContextError, match="shared and mutable"):
        factories.order(alice_principal, uuid.uuid4(), input=state)
    assert isinstance(
        factories.order(alice_principal, uuid.uuid4(), input={"text": "x"}), Order
    )


def test_context_a_deep_agent_state_is_no_principal() -> None:
    state = type(
        "DeepAgentState",
        (),
        {"user_id": uuid.uuid4(), "organisation_id": uuid.uuid4(), "tier": "mid"},
    )()

    with pytest.raises(InvalidContextError, match="shared and mutable"):
        UserExecutionContext.for_principal(
            state, thread_id=uuid.uuid4(), run_id=uuid.uuid4()
        )
