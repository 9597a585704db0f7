"""From DNS to the row of a domain: looks its record up, then stores what was found.

No transaction is open while DNS is asked. The weekly re-check is a sweep: one domain at a time, so
that other sweeps never wait for more than one look-up.
"""

from __future__ import annotations

import logging
from datetime import datetime

from django.db.models import Q
from django.utils import timezone

from apps.accounts import actions
from apps.accounts.domains import proofs
from apps.accounts.domains.proofs import Finding
from apps.accounts.errors import DomainTakenError
from apps.accounts.models import Domain
from apps.core.actors import Actor
from apps.core.database import write_now
from apps.core.errors import NetraError
from apps.core.tenancy import system, tenant

log = logging.getLogger(__name__)
SWEEP_SECONDS = 20.0
SWEEPER = Actor.system("weekly check of domains")


def prove(*, actor: Actor, domain: Domain, now: datetime | None = None) -> Domain:
    """Look the record up and store what follows; raises DomainTakenError, which is recorded."""
    finding = proofs.look_up(domain.record_name, domain.challenge)
    scope = tenant(domain.organisation_id)
    at = now or timezone.now()
    try:
        return write_now(
            scope,
            lambda: actions.note_look_up(
                actor=actor, domain=domain, finding=finding, now=at
            ),
        )
    except DomainTakenError as error:
        code = error.code
        write_now(
            scope,
            lambda: actions.record_refused_proof(actor=actor, domain=domain, code=code),
        )
        raise


def sweep(now: datetime | None = None) -> Domain | None:
    """Look up the proved domain that has waited longest beyond its time; None when none has."""
    at = now or timezone.now()
    with system("accounts: which domain is to be checked again"):
        due: Domain | None = (
            Domain.objects.filter(
                Q(look_again_at__isnull=True) | Q(look_again_at__lte=at),
                proved_at__isnull=False,
            )
            .order_by("look_again_at", "id")
            .first()
        )
    if due is None:
        return None
    try:
        row = prove(actor=SWEEPER, domain=due, now=at)
    except NetraError as error:
        log.warning("a domain was not checked: %s", error.message)
        return None
    _tell(due, row)
    return row


def _tell(before: Domain, after: Domain) -> None:
    if after.suspended_at is not None and before.suspended_at is None:
        log.warning(
            "the domain %s is suspended: its record is gone",
            after.domain,
            extra={"action": "domain.suspended", "domain": after.domain},
        )
    elif after.finding not in {Finding.FOUND, Finding.NO_ANSWER}:
        log.warning(
            "the record of %s was not found (%s)",
            after.domain,
            after.finding,
            extra={"action": "domain.not_found", "domain": after.domain},
        )
