"""What tests of a busy thread share: an agent's policy, an answer in the making, how one ended."""

from __future__ import annotations

from apps.accounts.access import Principal
from apps.agents import access
from apps.agents.catalogue import WhileBusy
from apps.agents.models import Agent
from apps.chat.actions import Asked
from apps.executions.models import Event
from apps.executions.standing import Standing
from apps.executions.states import ExecutionState
from tests import factories
from tests.chat.questions import claimed
from tests.factories import TESTS


def set_policy(who: Principal, policy: WhileBusy, agent: str = "golden-turn") -> None:
    with TESTS:
        Agent.objects.update_or_create(
            organisation_id=who.organisation_id,
            name=agent,
            defaults={"title": agent, "while_busy": policy},
        )
    access._remembered.clear()


def ends_of(asked: Asked) -> list[dict]:
    """The terminal events of a question."""
    with TESTS:
        rows = Event.objects.filter(execution_id=asked.execution_id, final=True)
        return [{"type": row.type, **row.payload} for row in rows]


def running(asked: Asked) -> Standing:
    return factories.move(claimed(asked), ExecutionState.RUNNING)
