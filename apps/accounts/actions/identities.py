"""How a provider's subjects are tied to people: linked, suspended, unlinked."""

from __future__ import annotations

from datetime import datetime

from django.db import transaction
from django.utils import timezone

from apps.accounts.events import AccessEnded, EndOfAccess
from apps.accounts.models import Identity, IdentityProvider, User
from apps.audits import trail
from apps.audits.acts import Act
from apps.core.actors import Actor
from apps.core.errors import NotFoundError
from apps.core.events import publish


@transaction.atomic
def set_identity_status(*, actor: Actor, identity: Identity, status: str) -> None:
    """Suspend one way of signing in, which ends what was begun with it, or lift that."""
    row = _locked(identity)
    suspend = status == Identity.Status.SUSPENDED
    if row.status == status and (not suspend or row.reason == Identity.Reason.BY_HAND):
        return
    reason = Identity.Reason.BY_HAND if suspend else ""
    Identity.objects.filter(pk=row.pk).update(status=status, reason=reason)
    if suspend:
        _end_access(row, EndOfAccess.IDENTITY_SUSPENDED)
    _record(
        Act.IDENTITY_CHANGED,
        actor,
        row,
        status={"before": row.status, "after": str(status)},
    )


@transaction.atomic
def unlink_identity(*, actor: Actor, identity: Identity) -> None:
    """Forget that a subject is this person. allauth's record goes with it (receivers)."""
    row = _locked(identity)
    Identity.objects.filter(pk=row.pk).delete()
    _end_access(row, EndOfAccess.IDENTITY_SUSPENDED)
    _record(Act.IDENTITY_UNLINKED, actor, row)


@transaction.atomic
def link_identity(
    *,
    actor: Actor,
    provider: IdentityProvider,
    user: User,
    sub: str,
    email: str,
    role: str = "",
    now: datetime | None = None,
) -> Identity:
    """Remember that `sub` at `provider` is this user; a second sign-in only refreshes it.

    `role`: what the claims give, for whoever weighs it against the directory's groups later.
    """
    now = now or timezone.now()
    identity: Identity
    identity, created = Identity.objects.get_or_create(
        provider=provider,
        sub=sub,
        defaults={
            "organisation_id": provider.organisation_id,
            "user": user,
            "email": email,
            "role": role,
            "linked_at": now,
            "last_used_at": now,
        },
    )
    if created:
        _record(Act.IDENTITY_LINKED, actor, identity)
        return identity
    before = identity.email
    Identity.objects.filter(pk=identity.pk).update(
        email=email, role=role, last_used_at=now
    )
    if before != email:
        _record(
            Act.IDENTITY_CHANGED,
            actor,
            identity,
            email={"before": before, "after": email},
        )
    return identity


def _locked(identity: Identity) -> Identity:
    row: Identity | None = (
        Identity.objects.select_related("user", "provider")
        .select_for_update(of=("self",))
        .filter(pk=identity.pk)
        .first()
    )
    if row is None:
        raise NotFoundError("This identity was unlinked already.")
    return row


def _end_access(identity: Identity, why: EndOfAccess) -> None:
    publish(
        AccessEnded(
            user_id=identity.user_id, organisation_id=identity.organisation_id, why=why
        )
    )


def _record(act: Act, actor: Actor, identity: Identity, **details: object) -> None:
    trail.record(
        act,
        actor=actor,
        organisation_id=identity.organisation_id,
        target=f"identity:{identity.pk}",
        provider=identity.provider.provider_id,
        sub=identity.sub,
        user=str(identity.user_id),
        **details,  # type: ignore[arg-type]  # made of texts right above
    )
