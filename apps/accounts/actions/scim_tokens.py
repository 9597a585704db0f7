"""The tokens of organisations' directories: made, used, revoked. They open SCIM and nothing else."""

from __future__ import annotations

import secrets
from datetime import datetime, timedelta
from uuid import UUID

from django.utils import timezone

from apps.accounts.access import digest
from apps.accounts.callers import START
from apps.accounts.models import Organisation, ScimToken
from apps.audits import trail
from apps.audits.acts import Act, Outcome
from apps.audits.chain import Value
from apps.core.actors import Actor
from apps.core.errors import ConflictError, InvalidInputError

TOKEN_BYTES = 32
DAYS_USUAL = 365
DAYS_MOST = 730
LIVE_MOST = 5  # an old one and a new one while they are exchanged, and some to spare


def create_scim_token(
    *,
    actor: Actor,
    organisation: Organisation,
    name: str = "SCIM",
    days: int = DAYS_USUAL,
    now: datetime | None = None,
) -> tuple[ScimToken, str]:
    """Make a token and return it with its secret, which is shown once and never stored."""
    now = now or timezone.now()
    if not 1 <= days <= DAYS_MOST:
        raise InvalidInputError(
            f"{days} days is not possible.",
            field="days",
            fix=f"Use 1 to {DAYS_MOST} days.",
        )
    # Locked, so that two at once are counted as two.
    list(
        Organisation.objects.select_for_update(no_key=True)
        .filter(pk=organisation.pk)
        .values_list("pk", flat=True)
    )
    live = ScimToken.objects.filter(
        organisation=organisation, revoked_at__isnull=True, expires_at__gt=now
    )
    if live.count() >= LIVE_MOST:
        raise ConflictError(
            f"There are {LIVE_MOST} directory tokens in use.",
            fix="Revoke one that is no longer needed.",
        )
    secret = START + secrets.token_urlsafe(TOKEN_BYTES)
    token: ScimToken = ScimToken.objects.create(
        organisation=organisation,
        name=name.strip()[:100] or "SCIM",
        prefix=secret[:12],
        digest=digest(secret),
        created_at=now,
        expires_at=now + timedelta(days=days),
    )
    _record(Act.TOKEN_CREATED, actor, token, days=days)
    return token, secret


def note_scim_token_use(*, token_id: UUID, now: datetime | None = None) -> None:
    """Remember when a token was used last."""
    ScimToken.objects.filter(pk=token_id).update(last_used_at=now or timezone.now())


def revoke_scim_token(*, actor: Actor, token: ScimToken) -> None:
    """Make a token useless from now on; a second time changes nothing."""
    revoked = ScimToken.objects.filter(pk=token.pk, revoked_at__isnull=True).update(
        revoked_at=timezone.now()
    )
    if revoked:
        _record(Act.TOKEN_REVOKED, actor, token)


def _record(act: Act, actor: Actor, token: ScimToken, **details: Value) -> None:
    trail.record(
        act,
        actor=actor,
        organisation_id=token.organisation_id,
        target=f"scim_token:{token.pk}",
        kind="scim",
        prefix=token.prefix,
        name=token.name,
        outcome=Outcome.DONE,
        **details,
    )
