"""How many executions an organisation and a person may have at work at once."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from django.conf import settings

from apps.accounts.models import Organisation
from apps.accounts.plans import PLANS, Tier
from apps.core.clock import elapsed
from apps.core.flags import Switch, enabled
from apps.executions.fairness import Limits

REMEMBER_SECONDS = 5.0
REMEMBER_LIMIT = 10_000
UNLIMITED = Limits()
_NEVER = (0.0, UNLIMITED)

_remembered: dict[UUID, tuple[float, Limits]] = {}


def limits_of(organisation_id: UUID) -> Limits:
    """The limits of one organisation, at most five seconds old."""
    return limits_for([organisation_id])[organisation_id]


def limits_for(organisation_ids: Iterable[UUID]) -> dict[UUID, Limits]:
    """The limits of several organisations; asks for those it does not know in one query."""
    asked = set(organisation_ids)
    if not settings.NETRA_LIMITS:
        return dict.fromkeys(asked, UNLIMITED)
    moment = elapsed()
    # Taken at once: another thread may forget everything meanwhile.
    known = {i: told for i in asked if (told := _remembered.get(i, _NEVER))[0] > moment}
    if missing := asked - known.keys():
        known |= _learn(missing, moment + REMEMBER_SECONDS)
    return {i: _present(i, known.get(i, _NEVER)[1]) for i in asked}


def forget() -> None:
    """Ask again next time."""
    _remembered.clear()


def _present(organisation_id: UUID, limits: Limits) -> Limits:
    on = enabled(Switch.CONCURRENCY_LIMITS, organisation_id)
    return limits if on else UNLIMITED


def _learn(
    organisation_ids: set[UUID], until: float
) -> dict[UUID, tuple[float, Limits]]:
    learned = {}
    rows = Organisation.objects.filter(pk__in=organisation_ids)
    for key, tier, own in rows.values_list("pk", "tier", "concurrent_executions"):
        plan = PLANS[Tier(tier)]
        limits = Limits(
            organisation=own or plan.concurrent_executions,
            user=plan.concurrent_executions_per_user,
        )
        learned[key] = (until, limits)
    if len(_remembered) >= REMEMBER_LIMIT:
        _remembered.clear()
    _remembered.update(learned)
    return learned
