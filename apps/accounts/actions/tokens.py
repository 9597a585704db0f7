"""API tokens: made, used, revoked."""

from __future__ import annotations

import secrets
from collections.abc import Collection
from datetime import datetime, timedelta
from uuid import UUID

from django.conf import settings
from django.utils import timezone

from apps.accounts.access import digest
from apps.accounts.events import AccessEnded, EndOfAccess
from apps.accounts.models import Membership, Token, User
from apps.accounts.permissions import Operation, TokenScope, can
from apps.audits import trail
from apps.audits.acts import Act
from apps.core.actors import Actor
from apps.core.errors import (
    ConflictError,
    InvalidInputError,
    NotAllowedError,
    RateLimitedError,
)
from apps.core.events import publish

TOKEN_BYTES = 32
LIFETIME, LONGEST = timedelta(days=90), timedelta(days=365)
LIVE_MOST = 20  # of one person in one organisation
HOUR, HOURLY_MOST = timedelta(hours=1), 40


class TooManyTokensError(ConflictError):
    """You have as many tokens as one person may have."""

    code = "too_many_tokens"
    fix = "Revoke one that you no longer need, then make another."


def create_token(
    *,
    actor: Actor,
    user: User,
    organisation_id: UUID,
    name: str = "API",
    lifetime: timedelta | None = None,
    scopes: Collection[str] = (),
) -> str:
    """Make a bearer token and return its secret, which is shown once and never stored."""
    lifetime = LIFETIME if lifetime is None else lifetime
    wanted = _checked_scopes(scopes)
    if not timedelta(0) < lifetime <= LONGEST:
        raise InvalidInputError(
            "A token lasts a year at most.",
            field="days",
            fix=f"Use 1 to {LONGEST.days} days.",
        )
    now = timezone.now()
    _check_number(user, organisation_id, now)
    secret = "ntr_" + secrets.token_urlsafe(TOKEN_BYTES)
    token = Token.objects.create(
        organisation_id=organisation_id,
        user=user,
        name=name,
        prefix=secret[:12],
        digest=digest(secret),
        scopes=wanted,
        created_at=now,
        expires_at=now + lifetime,
    )
    trail.record(
        Act.TOKEN_CREATED,
        actor=actor,
        organisation_id=organisation_id,
        target=f"token:{token.pk}",
        user_id=str(user.pk),
        prefix=token.prefix,
        scopes=wanted,
        days=lifetime.days,
    )
    return secret


def note_token_use(*, secret: str) -> None:
    """Remember when a token was used last."""
    Token.objects.filter(digest=digest(secret)).update(last_used_at=timezone.now())


def revoke_token(*, actor: Actor, token: Token) -> None:
    """Make a token useless from now on; once more changes nothing."""
    ended = Token.objects.filter(pk=token.pk, revoked_at__isnull=True).update(
        revoked_at=timezone.now()
    )
    if not ended:
        return
    publish(
        AccessEnded(
            user_id=token.user_id,
            organisation_id=token.organisation_id,
            why=EndOfAccess.TOKEN_REVOKED,
        )
    )
    trail.record(
        Act.TOKEN_REVOKED,
        actor=actor,
        organisation_id=token.organisation_id,
        target=f"token:{token.pk}",
        user_id=str(token.user_id),
        prefix=token.prefix,
    )


def _checked_scopes(scopes: Collection[str]) -> list[str]:
    known = {scope.value for scope in TokenScope}
    for scope in scopes:
        if scope not in known:
            raise InvalidInputError(
                f"{scope!r} is nothing that a token can be limited to.",
                field="scopes",
                fix=f"Use some of: {', '.join(sorted(known))}; none: all that you may.",
            )
    return sorted(set(scopes))


def _check_number(user: User, organisation_id: UUID, now: datetime) -> None:
    """Refuse the one too many. The membership is locked, so that two at once are counted as two."""
    place = Membership.objects.filter(user=user, organisation_id=organisation_id)
    role = place.select_for_update().values_list("role", flat=True).first()
    if role is None or not can(role, Operation.KEEP_OWN_TOKENS):
        # The door has asked that too, before somebody changed it.
        raise NotAllowedError("Only members have tokens here, and viewers have none.")
    own = Token.objects.filter(user=user, organisation_id=organisation_id)
    live = own.filter(revoked_at__isnull=True).exclude(expires_at__lte=now).count()
    if live >= LIVE_MOST:
        raise TooManyTokensError(values={"limit": LIVE_MOST})
    lately = own.filter(created_at__gt=now - HOUR).count()
    if settings.NETRA_LIMITS and lately >= HOURLY_MOST:
        raise RateLimitedError(
            "You made many tokens within an hour.", retry_after=HOUR.total_seconds()
        )
