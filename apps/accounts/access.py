"""From a credential or an untrusted id to a principal: the only way. No writes here."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, SESSION_KEY
from django.db.models import Q, QuerySet
from django.utils import timezone

from apps.accounts import validity
from apps.accounts.domains.names import domain_of
from apps.accounts.models import (
    Domain,
    IdentityProvider,
    Membership,
    Organisation,
    SignIn,
    Token,
    User,
)
from apps.accounts.permissions import Operation, TokenScope, can
from apps.accounts.plans import PLANS, Plan, Tier
from apps.accounts.session_store import SessionStore
from apps.core import canaries
from apps.core.actors import Actor
from apps.core.errors import NotAllowedError, NotAuthenticatedError, NotFoundError
from apps.core.tenancy import Scope, system, tenant

PROVIDERS_OFFERED = 20  # of one organisation, to choose among


@dataclass(frozen=True, slots=True)
class Bearer:
    """The token that somebody shows in place of a session: what it is limited to, and its end."""

    scopes: frozenset[str]
    ends_at: datetime | None


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
    bearer: Bearer | None = None  # none: a session

    def allows(self, wanted: TokenScope | None) -> bool:
        """Whether the token may be used for it; None is what no limited token may be used for."""
        limits = self.bearer.scopes if self.bearer else frozenset()
        return not limits or wanted in limits

    @property
    def scope(self) -> Scope:
        return tenant(self.organisation_id, self.user_id)

    @property
    def actor(self) -> Actor:
        return Actor.user(self.user_id, self.email)

    @property
    def plan(self) -> Plan:
        return PLANS[Tier(self.tier)]

    def may(self, operation: Operation) -> bool:
        """Whether the person's role in this organisation allows it."""
        return can(self.role, operation)

    def demand(self, operation: Operation) -> None:
        """Raise NotAllowedError where the person's role does not allow it."""
        if not self.may(operation):
            raise NotAllowedError(
                f"As {self.role} of {self.organisation_name} you may not do this.",
                values={"operation": operation.value, "role": self.role},
            )


def memberships_of(user_id: UUID) -> list[Membership]:
    """The active memberships of a person, oldest first."""
    with system("accounts: which organisations a person belongs to"):
        rows = Membership.objects.select_related("organisation", "user").filter(
            user_id=user_id,
            user__is_active=True,
            organisation__status=Organisation.Status.ACTIVE,
        )
        return list(rows.exclude(shut_out()).order_by("created_at", "id"))


def is_a_customers(user_id: UUID) -> bool:
    """Whether a person belongs to any organisation but the platform's own."""
    with system("accounts: which organisations a person belongs to"):
        rows = Membership.objects.filter(user_id=user_id)
        others = rows.exclude(organisation__kind=Organisation.Kind.PLATFORM)
        return bool(others.exists())


def shut_out() -> Q:
    """Canaries, whose people come in only where an isolation audit runs."""
    canary = Q(organisation__kind=Organisation.Kind.CANARY)
    inside = canaries.admitted()
    return canary & ~Q(organisation_id__in=inside) if inside else canary


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
        owner = principal_for(token.user_id, token.organisation.slug)
    except NotAllowedError as error:
        raise NotAuthenticatedError(
            "The token's owner may no longer sign in."
        ) from error
    return replace(owner, bearer=Bearer(frozenset(token.scopes), token.expires_at))


def sign_in_of(session_key: str | None) -> SignIn:
    """A session that holds, read again from the store; raises NotAuthenticatedError."""
    store = SessionStore(session_key)
    key = store.session_key  # none where it has not the form of one
    row = validity.live([key], timezone.now()).get(key) if key else None
    if row is None:
        raise NotAuthenticatedError
    session = store.load()
    if (
        session.get(SESSION_KEY) != str(row.user_id)
        or session.get(BACKEND_SESSION_KEY) not in settings.AUTHENTICATION_BACKENDS
    ):
        raise NotAuthenticatedError
    return row


def user_from_session(session_key: str | None) -> User:
    """The user of a session that holds; raises NotAuthenticatedError."""
    return sign_in_of(session_key).user


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
    with system("accounts: through which provider a person signs in"):
        return _enabled_providers().filter(provider_id=provider_id).first()


def proved_domains(organisation_id: UUID) -> frozenset[str]:
    """The domains whose addresses an organisation's providers may assert at present."""
    with system("accounts: which domains an organisation proved"):
        rows = Domain.objects.filter(
            organisation_id=organisation_id,
            proved_at__isnull=False,
            suspended_at__isnull=True,
        )
        return frozenset(rows.values_list("domain", flat=True))


def organisation_of_domain(domain: str) -> UUID | None:
    """The one organisation that proved this mail domain."""
    with system("accounts: whose mail domain this is"):
        found: UUID | None = (
            Domain.objects.filter(
                domain=domain, proved_at__isnull=False, suspended_at__isnull=True
            )
            .values_list("organisation_id", flat=True)
            .first()
        )
    return found


def providers_for_email(email: str) -> list[IdentityProvider]:
    """The providers of the organisation that proved the address's domain. Says nothing about the person.

    One query, whether the domain is known or not: the answer takes equally long.
    """
    with system("accounts: through which provider a person signs in"):
        proved = Domain.objects.filter(
            domain=domain_of(email), proved_at__isnull=False, suspended_at__isnull=True
        )
        rows = _enabled_providers().filter(
            organisation_id__in=proved.values("organisation_id")
        )
        return list(rows[:PROVIDERS_OFFERED])


def provider_for_email(email: str) -> IdentityProvider | None:
    """The first of them."""
    return next(iter(providers_for_email(email)), None)


def accounts_outside(domain: Domain) -> QuerySet[User]:
    """Accounts with an address in the domain that do not belong to its organisation. Nobody seizes them."""
    members = Membership.objects.filter(organisation_id=domain.organisation_id)
    return User.objects.filter(email__iendswith=f"@{domain.domain}").exclude(
        pk__in=members.values("user_id")
    )


def _enabled_providers() -> QuerySet[IdentityProvider]:
    """Those through which people may sign in at present. Call it in a scope."""
    rows: QuerySet[IdentityProvider] = IdentityProvider.objects.select_related(
        "organisation"
    ).filter(enabled=True, organisation__status=Organisation.Status.ACTIVE)
    return rows.exclude(organisation__kind=Organisation.Kind.CANARY).order_by(
        "created_at", "id"
    )


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
