"""From a credential or an untrusted id to a principal: the only way. No writes here."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from uuid import UUID

from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.sessions.backends.db import SessionStore
from django.db.models import QuerySet
from django.utils import timezone
from django.utils.crypto import constant_time_compare

from apps.accounts.models import IdentityProvider, Membership, Organisation, Token, User
from apps.accounts.plans import PLANS, Plan, Tier
from apps.core.actors import Actor
from apps.core.errors import NotAllowedError, NotAuthenticatedError, NotFoundError
from apps.core.tenancy import Scope, system, tenant


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks, and for which organisation: proved, not claimed."""

    user_id: UUID
    email: str
    name: str
    organisation_id: UUID
    organisation_slug: str
    organisation_name: str
    role: str
    tier: str
    is_staff: bool

    @property
    def scope(self) -> Scope:
        return tenant(self.organisation_id, self.user_id)

    @property
    def actor(self) -> Actor:
        return Actor.user(self.user_id, self.email)

    @property
    def plan(self) -> Plan:
        return PLANS[Tier(self.tier)]

    @property
    def may_ask(self) -> bool:
        return self.role != Membership.Role.VIEWER


def memberships_of(user_id: UUID) -> list[Membership]:
    """The active memberships of a person, oldest first."""
    with system("accounts: which organisations a person belongs to"):
        rows = Membership.objects.select_related("organisation", "user").filter(
            user_id=user_id,
            user__is_active=True,
            organisation__status=Organisation.Status.ACTIVE,
        )
        return list(
            rows.exclude(organisation__kind=Organisation.Kind.CANARY).order_by(
                "created_at", "id"
            )
        )


def principal_for(user_id: UUID, slug: str | None = None) -> Principal:
    """The person in the named organisation, or in the oldest; refuses what they do not belong to."""
    memberships = memberships_of(user_id)
    chosen = [m for m in memberships if slug is None or m.organisation.slug == slug]
    if not chosen:
        raise NotAllowedError(
            "You are not a member of this organisation."
            if slug
            else "You belong to no active organisation.",
            field="organisation",
        )
    return _principal(chosen[0])


def principal_from_token(secret: str, slug: str | None = None) -> Principal:
    """The principal of a bearer token; refuses unknown, revoked and expired ones alike."""
    with system("accounts: whose token is this"):
        token = (
            Token.objects.select_related("organisation")
            .filter(digest=digest(secret), revoked_at__isnull=True)
            .first()
        )
    if token is None or (
        token.expires_at is not None and token.expires_at <= timezone.now()
    ):
        raise NotAuthenticatedError("The token is not valid.")
    if slug is not None and slug != token.organisation.slug:
        raise NotAllowedError(
            "This token belongs to another organisation.", field="organisation"
        )
    try:
        return principal_for(token.user_id, token.organisation.slug)
    except NotAllowedError as error:
        raise NotAuthenticatedError(
            "The token's owner may no longer sign in."
        ) from error


def user_from_session(session_key: str | None) -> User:
    """The user of a live session, read again from the store; raises NotAuthenticatedError."""
    if not session_key:
        raise NotAuthenticatedError
    session = SessionStore(session_key).load()
    user_id = session.get(SESSION_KEY)
    user = User.objects.filter(pk=user_id, is_active=True).first() if user_id else None
    if (
        user is None
        or session.get(BACKEND_SESSION_KEY) not in settings.AUTHENTICATION_BACKENDS
    ):
        raise NotAuthenticatedError
    if not constant_time_compare(
        session.get(HASH_SESSION_KEY, ""), user.get_session_auth_hash()
    ):
        raise NotAuthenticatedError
    return user


def tokens_of(user_id: UUID) -> QuerySet[Token]:
    """A person's own tokens in the open organisation that were not revoked."""
    rows: QuerySet[Token] = Token.objects.filter(
        user_id=user_id, revoked_at__isnull=True
    )
    return rows


def token_for(user_id: UUID, token_id: UUID) -> Token:
    """One of a person's own tokens in the open organisation; raises NotFoundError."""
    token = tokens_of(user_id).filter(id=token_id).first()
    if token is None:
        raise NotFoundError("There is no such token.", field="token_id")
    return token


def token_with(secret: str) -> Token:
    """The row of a token that was just made, in the open organisation."""
    token: Token = Token.objects.get(digest=digest(secret))
    return token


def provider_for(provider_id: str) -> IdentityProvider | None:
    """The enabled provider of that name, of an active organisation whose people may sign in."""
    return _enabled_provider(provider_id=provider_id)


def provider_for_email(email: str) -> IdentityProvider | None:
    """The provider that speaks for the address's domain. Says nothing about the person."""
    domain = domain_of(email)
    return _enabled_provider(email_domain__iexact=domain) if domain else None


def _enabled_provider(**which: str) -> IdentityProvider | None:
    with system("accounts: through which provider a person signs in"):
        rows = IdentityProvider.objects.select_related("organisation").filter(
            **which, enabled=True, organisation__status=Organisation.Status.ACTIVE
        )
        found: IdentityProvider | None = (
            rows.exclude(organisation__kind=Organisation.Kind.CANARY)
            .order_by("created_at", "id")
            .first()
        )
    return found


def domain_of(email: str) -> str:
    """What stands behind the last @, in lower case; empty when there is no address."""
    local, at, domain = email.strip().rpartition("@")
    return domain.lower() if local and at and domain.isprintable() else ""


def digest(secret: str) -> str:
    """The form in which a token is stored: SHA-256 in hex."""
    return hashlib.sha256(secret.encode()).hexdigest()


def _principal(membership: Membership) -> Principal:
    user, organisation = membership.user, membership.organisation
    return Principal(
        user_id=user.pk,
        email=user.email,
        name=user.get_full_name(),
        organisation_id=organisation.pk,
        organisation_slug=organisation.slug,
        organisation_name=organisation.name,
        role=membership.role,
        tier=organisation.tier,
        is_staff=user.is_staff,
    )
