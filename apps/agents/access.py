"""From a name that a client sent to an agent that this person may use."""

from __future__ import annotations

import time
from dataclasses import dataclass
from uuid import UUID

from django.conf import settings

from apps.agents.catalogue import AGENTS, DEFAULT, AgentKind, AgentProfile
from apps.agents.models import Agent
from apps.core.errors import NotFoundError
from apps.core.tenancy import current_scope

REMEMBER_SECONDS = 5.0
REMEMBER_LIMIT = 1000


@dataclass(frozen=True, slots=True)
class ChosenAgent:
    """An agent and the model that will think for it (empty: the installation's)."""

    name: str
    model: str


_remembered: dict[tuple[UUID, str], tuple[float, tuple[bool, str] | None]] = {}


def agent_for(name: str | None, *, is_staff: bool) -> ChosenAgent:
    """The named agent, or the default one; raises NotFoundError for unknown, disabled and forbidden ones."""
    profile = AGENTS.get(name or DEFAULT)
    if profile is None or not _may_use(profile, is_staff=is_staff):
        raise _unknown(name, is_staff=is_staff)
    row = _row(current_scope().tenant_id, profile.name)
    if row is not None and not row[0]:
        raise _unknown(name, is_staff=is_staff)
    return ChosenAgent(profile.name, row[1] if row else "")


def agents_for(*, is_staff: bool) -> list[AgentProfile]:
    """The agents a person of the open organisation may use, the analyst first."""
    disabled = set(Agent.objects.filter(enabled=False).values_list("name", flat=True))
    return [
        p
        for p in AGENTS.values()
        if p.name not in disabled and _may_use(p, is_staff=is_staff)
    ]


def _may_use(profile: AgentProfile, *, is_staff: bool) -> bool:
    return profile.kind is not AgentKind.DIAGNOSTIC or is_staff or settings.NETRA_DEMO


def _row(organisation_id: UUID, name: str) -> tuple[bool, str] | None:
    known = _remembered.get((organisation_id, name))
    if known is not None and known[0] > time.monotonic():
        return known[1]
    row: tuple[bool, str] | None = (
        Agent.objects.filter(name=name).values_list("enabled", "model").first()
    )
    if len(_remembered) >= REMEMBER_LIMIT:
        _remembered.clear()
    _remembered[organisation_id, name] = (time.monotonic() + REMEMBER_SECONDS, row)
    return row


def _unknown(name: str | None, *, is_staff: bool) -> NotFoundError:
    usable = ", ".join(
        p.name for p in AGENTS.values() if _may_use(p, is_staff=is_staff)
    )
    return NotFoundError(
        f"There is no agent {str(name)[:64]!r}.",
        field="agent",
        fix=f"Use one of: {usable}.",
    )
