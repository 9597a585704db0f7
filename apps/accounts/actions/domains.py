"""Mail domains: claimed, proved, suspended, released. What DNS says is looked up before (proving)."""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

from django.db import IntegrityError, transaction

from apps.accounts.actions.organisations import lift_tier
from apps.accounts.domains.names import canonical, is_public, new_challenge
from apps.accounts.domains.proofs import Finding
from apps.accounts.errors import (
    BadDomainError,
    DomainTakenError,
    PublicDomainError,
    TooManyDomainsError,
)
from apps.accounts.models import Domain
from apps.audits import trail
from apps.audits.acts import Act, Outcome
from apps.core.actors import Actor
from apps.core.errors import NotFoundError

CLAIMS_MOST = 100  # of one organisation
FAILURES_MOST = 2  # in a row: then its addresses are believed no longer
COUNTED_MOST = 1_000
WEEKLY = timedelta(days=7)
AFTER_FAILURE = timedelta(days=1)
AFTER_SILENCE = timedelta(hours=1)


@transaction.atomic
def claim_domain(*, actor: Actor, organisation_id: UUID, name: str) -> Domain:
    """Remember that an organisation wants to speak for a domain, with the text that would prove it.

    A claim gives nothing; several organisations may claim the same domain, one can prove it.
    """
    domain = checked(name)
    known = Domain.objects.filter(organisation_id=organisation_id)
    row: Domain | None = known.filter(domain=domain).first()
    if row is not None:
        return row
    if known.count() >= CLAIMS_MOST:
        raise TooManyDomainsError(values={"most": CLAIMS_MOST})
    row = Domain.objects.create(
        organisation_id=organisation_id, domain=domain, challenge=new_challenge()
    )
    assert row is not None
    _record(Act.DOMAIN_CLAIMED, actor, row)
    return row


def checked(name: str) -> str:
    """The domain in its normal form; raises BadDomainError or PublicDomainError."""
    try:
        domain = canonical(name)
    except ValueError as error:
        raise BadDomainError(f"{name!r} is no mail domain.", field="domain") from error
    if is_public(domain):
        raise PublicDomainError(
            f"Anybody can have an address at {domain}.", field="domain"
        )
    return domain


@transaction.atomic
def note_look_up(
    *, actor: Actor, domain: Domain, finding: Finding, now: datetime
) -> Domain:
    """Store what a look-up found, and what follows from it.

    Failures count only where a look-up was due, so several processes at once count one. Raises
    DomainTakenError where another organisation has proved the domain.
    """
    row: Domain | None = Domain.objects.select_for_update().filter(pk=domain.pk).first()
    if row is None:
        raise NotFoundError(f"{domain.domain} was released meanwhile.")
    row.finding = finding.value
    if finding is Finding.FOUND:
        _found(actor, row, now)
    elif finding is Finding.NO_ANSWER:
        # Our resolver may be at fault: it is asked again, and nothing is held against the domain.
        row.look_again_at = now + AFTER_SILENCE if row.proved_at else None
        row.save(update_fields=["finding", "look_again_at"])
    else:
        _missing(actor, row, now)
    return row


@transaction.atomic
def release_domain(*, actor: Actor, domain: Domain) -> None:
    """Give a domain up: from now on nobody's provider speaks for it, and others may prove it."""
    row: Domain | None = Domain.objects.select_for_update().filter(pk=domain.pk).first()
    if row is None:
        raise NotFoundError(f"{domain.domain} was released already.")
    Domain.objects.filter(pk=row.pk).delete()
    _record(Act.DOMAIN_RELEASED, actor, row, was_proved=row.proved_at is not None)


@transaction.atomic
def record_refused_proof(*, actor: Actor, domain: Domain, code: str) -> None:
    """Tell the trail of a proof that was refused; the refused unit itself was rolled back."""
    _record(Act.DOMAIN_PROVED, actor, domain, Outcome.REFUSED, code=code)


def _found(actor: Actor, row: Domain, now: datetime) -> None:
    first, restored = row.proved_at is None, row.suspended_at is not None
    row.proved_at = row.proved_at or now
    row.suspended_at, row.failures = None, 0
    row.checked_at, row.look_again_at = now, now + WEEKLY
    try:
        with transaction.atomic():
            row.save()
    except IntegrityError as error:
        raise DomainTakenError(
            f"Another organisation has proved {row.domain}.", field="domain"
        ) from error
    if first:
        lift_tier(actor=actor, organisation_id=row.organisation_id)
    if first or restored:
        _record(Act.DOMAIN_PROVED, actor, row, restored=restored)


def _missing(actor: Actor, row: Domain, now: datetime) -> None:
    if row.proved_at is None:
        row.checked_at = now
        row.save(update_fields=["finding", "checked_at"])
        return
    # Who looks twice by hand within a minute found one failure, not two.
    if row.look_again_at is not None and now < row.look_again_at:
        row.save(update_fields=["finding"])
        return
    row.failures = min(COUNTED_MOST, row.failures + 1)
    row.checked_at, row.look_again_at = now, now + AFTER_FAILURE
    suspended = row.failures >= FAILURES_MOST and row.suspended_at is None
    if suspended:
        row.suspended_at = now
    row.save(
        update_fields=[
            "finding", "failures", "checked_at", "look_again_at", "suspended_at",
        ]
    )  # fmt: skip
    if suspended:
        _record(Act.DOMAIN_SUSPENDED, actor, row, finding=row.finding)


def _record(
    act: Act,
    actor: Actor,
    row: Domain,
    outcome: Outcome = Outcome.DONE,
    **details: bool | str,
) -> None:
    trail.record(
        act,
        actor=actor,
        organisation_id=row.organisation_id,
        target=f"domain:{row.pk}",
        outcome=outcome,
        domain=row.domain,
        **details,
    )
