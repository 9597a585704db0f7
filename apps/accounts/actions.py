"""Every write of accounts: check, write, announce, return."""

from __future__ import annotations

import secrets
from datetime import datetime, timedelta
from uuid import UUID

from django.utils import timezone

from apps.accounts.access import digest
from apps.accounts.events import AccessEnded, EndOfAccess, MembershipChanged
from apps.accounts.models import (
    Identity,
    IdentityProvider,
    Membership,
    Organisation,
    Token,
    User,
)
from apps.accounts.plans import Tier
from apps.core.actors import Actor
from apps.core.errors import ConflictError, InvalidInputError
from apps.core.events import publish

TOKEN_BYTES = 32


def create_person(
    *, actor: Actor, email: str, name: str, password: str | None = None
) -> User:
    """Make an account; without a password it can only sign in through a provider."""
    return User.objects.create_user(email, password, name=name)


def create_platform_admin(
    *, actor: Actor, email: str, name: str, password: str
) -> User:
    """Make Netra's own organisation, where it is missing, and its first operator."""
    if User.objects.filter(is_superuser=True).exists():
        raise ConflictError(
            "There is a platform admin already.",
            fix="Sign in as that person and add others in the admin.",
        )
    platform, _ = Organisation.objects.get_or_create(
        kind=Organisation.Kind.PLATFORM,
        defaults={"slug": "netra", "name": "Netra", "tier": Tier.PLATFORM},
    )
    user = User.objects.create_superuser(email, password, name=name)
    add_member(
        actor=actor, organisation=platform, user=user, role=Membership.Role.OWNER
    )
    return user


def add_member(
    *, actor: Actor, organisation: Organisation, user: User, role: str
) -> Membership:
    """Give a person a place in an organisation; an existing place keeps its role."""
    if role not in Membership.Role.values:
        raise InvalidInputError(
            f"{role!r} is not a role.",
            field="role",
            fix="Use owner, admin, member or viewer.",
        )
    membership: Membership
    membership, created = Membership.objects.get_or_create(
        organisation=organisation, user=user, defaults={"role": role}
    )
    if created:
        publish(
            MembershipChanged(
                organisation_id=organisation.pk, user_id=user.pk, role=role
            )
        )
    return membership


def change_role(*, actor: Actor, membership: Membership, role: str) -> None:
    """Give a member another role."""
    if role not in Membership.Role.values:
        raise InvalidInputError(
            f"{role!r} is not a role.",
            field="role",
            fix="Use owner, admin, member or viewer.",
        )
    Membership.objects.filter(pk=membership.pk).update(role=role)
    publish(
        MembershipChanged(
            organisation_id=membership.organisation_id,
            user_id=membership.user_id,
            role=role,
        )
    )


def remove_member(*, actor: Actor, membership: Membership) -> None:
    """End a membership, and with it the tokens that spoke for it."""
    Token.objects.filter(
        organisation_id=membership.organisation_id,
        user_id=membership.user_id,
        revoked_at__isnull=True,
    ).update(revoked_at=timezone.now())
    Membership.objects.filter(pk=membership.pk).delete()
    publish(
        MembershipChanged(
            organisation_id=membership.organisation_id,
            user_id=membership.user_id,
            role=None,
        )
    )
    publish(
        AccessEnded(
            user_id=membership.user_id,
            organisation_id=membership.organisation_id,
            why=EndOfAccess.MEMBERSHIP_ENDED,
        )
    )


def set_identity_status(*, actor: Actor, identity: Identity, status: str) -> None:
    """Suspend one way of signing in, or lift that."""
    Identity.objects.filter(pk=identity.pk).update(status=status)


def link_identity(
    *,
    actor: Actor,
    provider: IdentityProvider,
    user: User,
    sub: str,
    email: str,
    now: datetime | None = None,
) -> Identity:
    """Remember that `sub` at `provider` is this user; a second sign-in only refreshes it."""
    now = now or timezone.now()
    identity: Identity
    identity, created = Identity.objects.get_or_create(
        provider=provider,
        sub=sub,
        defaults={
            "organisation_id": provider.organisation_id,
            "user": user,
            "email": email,
            "linked_at": now,
            "last_used_at": now,
        },
    )
    if not created:
        Identity.objects.filter(pk=identity.pk).update(email=email, last_used_at=now)
    return identity


def create_token(
    *,
    actor: Actor,
    user: User,
    organisation_id: UUID,
    name: str = "API",
    lifetime: timedelta | None = None,
) -> str:
    """Make a bearer token and return its secret, which is shown once and never stored."""
    secret = "ntr_" + secrets.token_urlsafe(TOKEN_BYTES)
    now = timezone.now()
    Token.objects.create(
        organisation_id=organisation_id,
        user=user,
        name=name,
        prefix=secret[:12],
        digest=digest(secret),
        created_at=now,
        expires_at=now + lifetime if lifetime else None,
    )
    return secret


def note_token_use(*, secret: str) -> None:
    """Remember when a token was used last."""
    Token.objects.filter(digest=digest(secret)).update(last_used_at=timezone.now())


def revoke_token(*, actor: Actor, token: Token) -> None:
    """Make a token useless from now on."""
    Token.objects.filter(pk=token.pk, revoked_at__isnull=True).update(
        revoked_at=timezone.now()
    )
    publish(
        AccessEnded(
            user_id=token.user_id,
            organisation_id=token.organisation_id,
            why=EndOfAccess.TOKEN_REVOKED,
        )
    )
