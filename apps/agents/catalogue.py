"""The agents that exist, as a table of facts. What an organisation set for one stands in its row."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

RUNNER = "agents.turn"


class AgentKind(StrEnum):
    """Who an agent is for."""

    ANALYST = "analyst"  # for everybody
    DIAGNOSTIC = "diagnostic"  # scripted, for monitoring and fault tests


class WhileBusy(StrEnum):
    """What becomes of a message that comes while an answer is being written."""

    QUEUE = "queue"  # it waits for its turn
    REJECT = "reject"  # it is refused, with a receipt
    INTERRUPT = "interrupt"  # the running answer is stopped, and it goes next


POLICIES = [policy.value for policy in WhileBusy]


@dataclass(frozen=True, slots=True)
class AgentProfile:
    """One agent."""

    name: str
    title: str
    description: str
    kind: AgentKind


_D = AgentKind.DIAGNOSTIC
AGENTS: dict[str, AgentProfile] = {
    profile.name: profile
    for profile in (
        AgentProfile(
            "analyst",
            "Usage analyst",
            "Answers questions about your company's AI spend, latency, models and failures.",
            AgentKind.ANALYST,
        ),
        AgentProfile(
            "golden-turn", "Golden turn", "Calls one tool, then says twenty words.", _D
        ),
        AgentProfile(
            "slow-turn",
            "Slow turn",
            "Says a hundred words, one every tenth of a second.",
            _D,
        ),
        AgentProfile(
            "failing-turn", "Failing turn", "Its model fails after five words.", _D
        ),
        AgentProfile("hanging-turn", "Hanging turn", "Never answers.", _D),
        AgentProfile("crashing-turn", "Crashing turn", "Its tool raises an error.", _D),
        AgentProfile(
            "effect-turn",
            "Effect turn",
            "Its tool leaves a line in a file; say ask, retry or fail to choose what a "
            "later attempt does about an unknown one.",
            _D,
        ),
    )
}
DEFAULT = "analyst"
