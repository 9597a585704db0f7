"""What an organisation may set for its agents."""

from __future__ import annotations

import logging

from apps.agents.catalogue import POLICIES, WhileBusy
from apps.agents.models import Agent
from apps.audits import trail
from apps.audits.acts import Act
from apps.core.actors import Actor
from apps.core.errors import InvalidInputError

log = logging.getLogger(__name__)


def set_while_busy(*, actor: Actor, agent: Agent, policy: str) -> None:
    """Say what becomes of a message that comes while this agent answers; holds within seconds."""
    if policy not in POLICIES:
        raise InvalidInputError(
            f"{policy!r} is no policy.",
            field="while_busy",
            fix=f"Use one of: {', '.join(POLICIES)}.",
        )
    before = (
        Agent.objects.filter(pk=agent.pk).values_list("while_busy", flat=True).get()
    )
    Agent.objects.filter(pk=agent.pk).update(while_busy=WhileBusy(policy))
    trail.record(
        Act.SETTING_CHANGED,
        actor=actor,
        organisation_id=agent.organisation_id,
        target=f"agent:{agent.pk}",
        setting="while_busy",
        agent=agent.name,
        before=before,
        after=policy,
    )
    log.info(
        "the policy of an agent was changed",
        extra={
            "action": "agents.while_busy_set",
            "agent": agent.name,
            "organisation": str(agent.organisation_id),
            "policy": policy,
            "by": actor.label,
        },
    )
