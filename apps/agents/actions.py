"""What an organisation may set for its agents."""

from __future__ import annotations

import logging

from apps.agents.catalogue import POLICIES, WhileBusy
from apps.agents.models import Agent
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
    Agent.objects.filter(pk=agent.pk).update(while_busy=WhileBusy(policy))
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
