"""Organisations: made, changed. None is ever deleted: rows of all apps hang on it."""

from __future__ import annotations

from uuid import UUID

from django.db import transaction

from apps.accounts.access import proved_domains
from apps.accounts.actions.changes import differences, told
from apps.accounts.errors import (
    LockoutNotConfirmedError,
    NoOwnerInsideError,
    NoWayInError,
)
from apps.accounts.models import IdentityProvider, Organisation
from apps.accounts.plans import SignUp, Tier, lifted, tier_at_sign_up
from apps.accounts.queries import lockout
from apps.audits import trail
from apps.audits.acts import Act, Outcome
from apps.core import clock
from apps.core.actors import Actor

FACTS = (
    "name",
    "tier",
    "status",
    "concurrent_executions",
    "sso_required",
    "session_idle_minutes",
    "session_hours",
    "grants_need_consent",
)


@transaction.atomic
def create_organisation(*, actor: Actor, organisation: Organisation) -> None:
    """Store a new organisation. One that signed up gets the tier that its way of signing up gives."""
    if organisation.sso_required:
        _refuse_enforcing(organisation)
    if organisation.signed_up_with:
        source = SignUp(organisation.signed_up_with)
        organisation.tier = tier_at_sign_up(source, proved_domain=False)
    organisation.save(force_insert=True)
    trail.record(
        Act.ORGANISATION_CREATED,
        actor=actor,
        organisation_id=organisation.pk,
        target=f"organisation:{organisation.pk}",
        outcome=Outcome.DONE,
        slug=organisation.slug,
        kind=str(organisation.kind),
        signed_up_with=organisation.signed_up_with,
        **{name: told(getattr(organisation, name)) for name in FACTS},
    )


@transaction.atomic
def change_organisation(
    *, actor: Actor, organisation: Organisation, confirmed: str = ""
) -> None:
    """Store what differs from the row that is kept.

    Enforcing company sign-in leaves people outside: `confirmed` is the fingerprint of the list of them
    (`queries.lockout`) that somebody agreed to, and no other list passes.
    """
    before = Organisation.objects.select_for_update(no_key=True).get(pk=organisation.pk)
    facts = differences(before, organisation, FACTS)
    if not facts:
        return
    if organisation.sso_required and not before.sso_required:
        facts["left_outside"] = _checked_lockout(organisation, confirmed)
    organisation.save(update_fields=[name for name in FACTS if name in facts])
    trail.record(
        Act.ORGANISATION_CHANGED,
        actor=actor,
        organisation_id=organisation.pk,
        target=f"organisation:{organisation.pk}",
        outcome=Outcome.DONE,
        slug=before.slug,
        **facts,
    )


@transaction.atomic
def lift_tier(*, actor: Actor, organisation_id: UUID) -> None:
    """After a domain was proved: what signed up may rise, once, from the tier that it was given."""
    row = Organisation.objects.select_for_update(no_key=True).get(pk=organisation_id)
    source = SignUp(row.signed_up_with) if row.signed_up_with else None
    tier = lifted(Tier(row.tier), source)
    if tier != row.tier:
        row.tier = tier
        change_organisation(actor=actor, organisation=row)


def _checked_lockout(organisation: Organisation, confirmed: str) -> int:
    """How many are left outside by enforcing it now; refused where nobody agreed, or no owner comes in."""
    ways = IdentityProvider.objects.filter(organisation=organisation, enabled=True)
    proved = proved_domains(organisation.pk)
    if not ways.exists() or not proved:
        _refuse_enforcing(organisation)
    found = lockout(organisation, proved=proved, now=clock.now())
    if not found.owner_inside:
        raise NoOwnerInsideError(
            f"No owner of {organisation.name} could sign in any more: "
            "none has come in through a provider that is switched on and in use."
        )
    number = len(found.outside)
    if number and confirmed != found.fingerprint:
        raise LockoutNotConfirmedError(
            f"{number} member{'s' if number > 1 else ''} of {organisation.name} could not sign in any more, "
            "and nobody has agreed to this very list of them.",
            values={"left_outside": number},
        )
    return number


def _refuse_enforcing(organisation: Organisation) -> None:
    raise NoWayInError(
        f"Nobody of {organisation.name} could sign in: it has no provider that is switched on, "
        "or no proved domain."
    )
