"""From a name that a client sent to an agent that this person may use."""

from __future__ import annotations

import time
from dataclasses import dataclass
from uuid import UUID

from django.conf import settings

from apps.agents.catalogue import AGENTS, DEFAULT, AgentKind, AgentProfile, WhileBusy
from apps.agents.models import Agent
from apps.core.errors import NotFoundError
from apps.core.flags import Switch, enabled
from apps.core.tenancy import current_scope

REMEMBER_SECONDS = 5.0
REMEMBER_LIMIT = 1000


@dataclass(frozen=True, slots=True)
class ChosenAgent:
    """An agent, the model that will think for it (empty: the installation's), and its policy."""

    name: str
    model: str
    while_busy: WhileBusy = WhileBusy.QUEUE


@dataclass(frozen=True, slots=True)
class _Settings:
    """What an organisation set for an agent."""

    enabled: bool = True
    model: str = ""
    while_busy: WhileBusy = WhileBusy.QUEUE


_UNSET = _Settings()
_remembered: dict[tuple[UUID, str], tuple[float, _Settings]] = {}


def agent_for(name: str | None, *, is_staff: bool) -> ChosenAgent:
    """The named agent, or the default one; raises NotFoundError for unknown, disabled and forbidden ones."""
    profile = AGENTS.get(name or DEFAULT)
    if profile is None or not _may_use(profile, is_staff=is_staff):
        raise _unknown(name, is_staff=is_staff)
    organisation_id = current_scope().tenant_id
    own = _settings_of(organisation_id, profile.name)
    if not own.enabled:
        raise _unknown(name, is_staff=is_staff)
    policy = _in_force(own.while_busy, organisation_id)
    return ChosenAgent(profile.name, own.model, policy)


def agents_for(*, is_staff: bool) -> list[AgentProfile]:
    """The agents a person of the open organisation may use, the analyst first."""
    disabled = set(Agent.objects.filter(enabled=False).values_list("name", flat=True))
    return [
        p
        for p in AGENTS.values()
        if p.name not in disabled and _may_use(p, is_staff=is_staff)
    ]


def policies() -> dict[str, WhileBusy]:
    """For each agent that the open organisation has: what becomes of a message while it is busy."""
    organisation_id = current_scope().tenant_id
    return {
        name: _in_force(WhileBusy(policy), organisation_id)
        for name, policy in Agent.objects.values_list("name", "while_busy")
    }


def _in_force(policy: WhileBusy, organisation_id: UUID) -> WhileBusy:
    if policy is WhileBusy.INTERRUPT and not enabled(Switch.INTERRUPT, organisation_id):
        return WhileBusy.QUEUE
    return policy


def _may_use(profile: AgentProfile, *, is_staff: bool) -> bool:
    return profile.kind is not AgentKind.DIAGNOSTIC or is_staff or settings.NETRA_DEMO


def _settings_of(organisation_id: UUID, name: str) -> _Settings:
    known = _remembered.get((organisation_id, name))
    if known is not None and known[0] > time.monotonic():
        return known[1]
    row = (
        Agent.objects.filter(name=name)
        .values_list("enabled", "model", "while_busy")
        .first()
    )
    own = _UNSET if row is None else _Settings(row[0], row[1], WhileBusy(row[2]))
    if len(_remembered) >= REMEMBER_LIMIT:
        _remembered.clear()
    _remembered[organisation_id, name] = (time.monotonic() + REMEMBER_SECONDS, own)
    return own


def _unknown(name: str | None, *, is_staff: bool) -> NotFoundError:
    usable = ", ".join(
        p.name for p in AGENTS.values() if _may_use(p, is_staff=is_staff)
    )
    return NotFoundError(
        f"There is no agent {str(name)[:64]!r}.",
        field="agent",
        fix=f"Use one of: {usable}.",
    )
