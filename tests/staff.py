"""Staff with a role, and an execution with secrets in every place that holds content."""

from __future__ import annotations

from django.contrib.auth.models import Group
from django.utils import timezone

from apps.accounts.access import Principal
from apps.accounts.models import Organisation, User
from apps.chat.models import Message, Thread
from apps.core.database import write_now
from apps.core.errors import Explanation
from apps.core.tenancy import tenant
from apps.executions import endings, journal, moves
from apps.executions.journal import Draft
from apps.executions.standing import Ending, Standing
from apps.executions.states import EventType, ExecutionState, Phase
from tests import factories

SECRET = "zebra mandolin xylophone"


def staff(role: str, place: Organisation, email: str = "") -> User:
    """A staff member with one of the roles that a migrated database has."""
    user = factories.person(email or f"{role}@netra.example", place, is_staff=True)
    user.groups.add(Group.objects.get(name=role))
    return user


def told(
    who: Principal,
    state: ExecutionState | None = ExecutionState.FAILED,
    *,
    agent: str = "golden-turn",
) -> Standing:
    """A whole conversation with SECRET wherever people or agents speak; None leaves it running."""
    stream_id = factories.stream(who)
    standing = factories.execution(
        who, stream_id=stream_id, agent=agent, input={"text": SECRET, "history": []}
    )
    write_now(who.scope, lambda: _converse(who, standing))
    claimed = factories.claim(standing)
    running = factories.move(claimed, ExecutionState.RUNNING)
    return write_now(
        tenant(running.organisation_id, running.user_id), lambda: _work(running, state)
    )


def _converse(who: Principal, standing: Standing) -> None:
    now = timezone.now()
    thread = Thread.objects.create(
        id=standing.stream_id,
        organisation_id=who.organisation_id,
        user_id=who.user_id,
        title=SECRET,
        created_at=now,
        updated_at=now,
    )
    for role in (Message.Role.USER, Message.Role.ASSISTANT):
        Message.objects.create(
            organisation_id=who.organisation_id,
            thread=thread,
            role=role,
            text=SECRET,
            client_id=SECRET,
            created_at=now,
        )


def _work(running: Standing, state: ExecutionState | None) -> Standing:
    now = timezone.now()
    phases = (
        Phase.CREATED,
        Phase.WEBSOCKET_SETUP,
        Phase.CONTEXT_VALIDATION,
        Phase.STARTING,
        Phase.THINKING,
    )
    entered = moves.enter_phase(running, *((phase, now) for phase in phases))
    call = {"call_id": "c1", "tool": "lookup"}
    payloads = {
        EventType.AGENT_THINKING: {"agent": "a", "note": SECRET, SECRET: SECRET},
        EventType.TOOL_EXECUTING: {**call, "arguments": {SECRET: [SECRET]}},
        EventType.TOOL_COMPLETED: {**call, "status": SECRET, "result": SECRET, "ms": 3},
    }
    journal.append(
        organisation_id=running.organisation_id,
        stream_id=running.stream_id,
        drafts=[
            Draft(type=kind, payload=payload) for kind, payload in payloads.items()
        ],
        now=now,
        execution_id=running.id,
        attempt=running.attempt,
    )
    if state is None:
        return entered
    explanation = Explanation("provider_error", "The provider failed.", "Ask again.")
    ending = Ending(
        state=state,
        text=SECRET,
        explanation=None if state is ExecutionState.COMPLETED else explanation,
        error_class="ProviderError",
        error_detail=SECRET,
        cancelled_by="user",
    )
    return endings.finish(entered, ending, actor=factories.TESTER, now=now)
