"""From a directory's token to the organisation it speaks for, and what belongs to others. No writes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.utils import timezone

from apps.accounts.access import digest, shut_out
from apps.accounts.models import (
    Identity,
    Membership,
    Organisation,
    ScimToken,
    User,
)
from apps.core.actors import Actor
from apps.core.errors import NotAuthenticatedError
from apps.core.tenancy import Scope, system, tenant

START = "nts_"
FORM = re.compile(START + r"[A-Za-z0-9_-]{43}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """An organisation's directory: proved by its token. It opens nothing but SCIM."""

    organisation_id: UUID
    token_id: UUID
    prefix: str

    @property
    def scope(self) -> Scope:
        return tenant(self.organisation_id)

    @property
    def actor(self) -> Actor:
        return Actor.system(f"directory {self.prefix}…")


def caller_with(secret: str, *, now: datetime | None = None) -> Caller:
    """Whose token this is; unknown, revoked, expired and suspended ones are refused alike."""
    if not FORM.fullmatch(secret):
        raise NotAuthenticatedError("The token is not valid.")
    with system("accounts: whose directory calls"):
        token = (
            ScimToken.objects.filter(
                digest=digest(secret),
                revoked_at__isnull=True,
                organisation__status=Organisation.Status.ACTIVE,
            )
            .exclude(expires_at__lte=now or timezone.now())
            .exclude(shut_out())
            .first()
        )
    if token is None:
        raise NotAuthenticatedError("The token is not valid.")
    return Caller(
        organisation_id=token.organisation_id, token_id=token.pk, prefix=token.prefix
    )


def is_known_elsewhere(user: User, organisation_id: UUID) -> bool:
    """Whether another organisation has this person too, as a member or by its provider."""
    with system("accounts: whether an account is one organisation's alone"):
        return any(
            model.objects.filter(user=user)
            .exclude(organisation_id=organisation_id)
            .exists()
            for model in (Membership, Identity)
        )
