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


class SignUp(StrEnum):
    """Through whom an organisation's first person came."""

    GOOGLE = "google"
    GITHUB = "github"
    LINKEDIN = "linkedin"
    MICROSOFT = "microsoft"
    OTHER = "other"


# What a company gets at sign-up, and once it proved a mail domain. Enterprise is only ever sold.
AT_SIGN_UP: dict[SignUp, Tier] = {
    SignUp.GOOGLE: Tier.FREE,
    SignUp.GITHUB: Tier.EARLY,
    SignUp.LINKEDIN: Tier.MID,
    SignUp.MICROSOFT: Tier.FREE,
    SignUp.OTHER: Tier.FREE,
}
ONCE_PROVED: dict[Tier, Tier] = {Tier.FREE: Tier.EARLY, Tier.EARLY: Tier.MID}


def tier_at_sign_up(source: SignUp, *, proved_domain: bool) -> Tier:
    """The tier that a sign-up gives; a business is who proved a domain, whatever its name looks like."""
    given = AT_SIGN_UP[source]
    return ONCE_PROVED.get(given, given) if proved_domain else given


def lifted(tier: Tier, source: SignUp | None) -> Tier:
    """The tier after a domain was proved: only one that still is as sign-up gave it rises."""
    if source is None or tier is not tier_at_sign_up(source, proved_domain=False):
        return tier
    return tier_at_sign_up(source, proved_domain=True)
