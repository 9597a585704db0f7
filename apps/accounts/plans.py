"""Tiers and what each allows: a table of facts, no Django."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Tier(StrEnum):
    """What an organisation has booked."""

    FREE = "free"
    EARLY = "early"
    MID = "mid"
    ENTERPRISE = "enterprise"
    PLATFORM = "platform"  # Netra's own organisation


@dataclass(frozen=True, slots=True)
class Plan:
    """What a tier allows."""

    execution_seconds: int  # from the first claim to the deadline
    text_max: int = 32_000  # code points of one message
    messages_per_minute: int = 60
    connections: int = 10  # open sockets of one user
    concurrent_executions: int = (
        10  # of one organisation, where it has no figure of its own
    )
    concurrent_executions_per_user: int = 5
    idle_seconds: int = 360  # a silent socket is closed; always outlives the agent


# Seconds from ARCHITECTURE 4: free and early 40, mid 60, platform 120, enterprise 300.
PLANS: dict[Tier, Plan] = {
    Tier.FREE: Plan(execution_seconds=40),
    Tier.EARLY: Plan(execution_seconds=40),
    Tier.MID: Plan(execution_seconds=60),
    Tier.ENTERPRISE: Plan(execution_seconds=300),
    Tier.PLATFORM: Plan(execution_seconds=120),
}
