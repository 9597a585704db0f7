"""Who may come in through an organisation's provider: the rules, then the rows they lead to.

Knows nothing of protocols. What hardens the protocol itself (nonce, signature, exact issuer,
enforced sign-in through the provider, fresh authentication) belongs to the adapter's provider class.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from apps.accounts import actions
from apps.accounts.access import domain_of
from apps.accounts.models import (
    Identity,
    IdentityProvider,
    Membership,
    Organisation,
    User,
)
from apps.core.actors import Actor
from apps.core.errors import NotAllowedError

SUB_LENGTH = 191
ACTOR = Actor.system("sign-in")


class SignInRefusedError(NotAllowedError):
    """You cannot sign in this way."""

    code = "sign_in_refused"

    def __init__(self, message: str, *, rule: str, fix: str, **values: object) -> None:
        super().__init__(message, fix=fix, values=values)
        self.rule = rule


@dataclass(frozen=True, slots=True, kw_only=True)
class Claims:
    """What a provider says about the person who signed in there."""

    sub: str
    emails: tuple[str, ...]
    name: str = ""
    unverified: bool = (
        False  # the provider itself says that the address is not verified
    )

    @property
    def email(self) -> str:
        return self.emails[0].lower()


def admit(
    provider: IdentityProvider, claims: Claims, *, now: datetime | None = None
) -> User:
    """The person who may come in, with identity and membership written; refuses everybody else.

    (provider, sub) is the person. An address only ever finds a member of the same organisation.
    """
    check_claims(provider, claims)
    known = (
        Identity.objects.select_related("user")
        .filter(provider=provider, sub=claims.sub)
        .first()
    )
    if known is not None:
        user = _known(known)
    else:
        user = _member_with_address(provider, claims) or _newcomer(provider, claims)
    check_person(provider, user)
    actions.link_identity(
        actor=ACTOR,
        provider=provider,
        user=user,
        sub=claims.sub,
        email=claims.email,
        now=now,
    )
    return user


def check_claims(provider: IdentityProvider, claims: Claims) -> None:
    """A provider may assert one domain, its own; this is what stops take-overs between customers."""
    if not claims.sub or len(claims.sub) > SUB_LENGTH or not claims.emails:
        raise SignInRefusedError(
            f"{provider.name} did not tell us who you are: the subject or the e-mail address is missing.",
            rule="claims_present",
            fix="Ask your administrator to release the e-mail address to Netra.",
        )
    for email in claims.emails:
        if domain_of(email) != provider.email_domain.lower():
            raise SignInRefusedError(
                f"{provider.name} may not speak for {email}.",
                rule="own_domain",
                fix=f"Sign in with an address at {provider.email_domain}, or through your own company.",
                asserted=email,
                allowed_domain=provider.email_domain,
            )
    if claims.unverified:
        raise SignInRefusedError(
            f"{provider.name} has not verified {claims.email}.",
            rule="verified_address",
            fix="Confirm your e-mail address with your company, then sign in again.",
            asserted=claims.email,
        )


def check_person(provider: IdentityProvider, user: User) -> None:
    """Closed accounts stay out, and no customer's provider yields a member of staff."""
    if not user.is_active:
        raise SignInRefusedError(
            "This account is closed.",
            rule="active_account",
            fix="Ask an owner of your organisation to open it again.",
            email=user.email,
        )
    if user.is_staff and provider.organisation.kind != Organisation.Kind.PLATFORM:
        raise SignInRefusedError(
            "Members of Netra's staff do not sign in through a customer.",
            rule="staff_elsewhere",
            fix="Sign in with your password, or through Netra's own provider.",
            email=user.email,
        )


def _known(identity: Identity) -> User:
    if identity.status != Identity.Status.ACTIVE:
        raise SignInRefusedError(
            "This way of signing in is suspended.",
            rule="identity_active",
            fix="Ask an owner of your organisation to lift the suspension.",
            email=identity.email,
        )
    if not _is_member(identity.provider, identity.user):
        raise SignInRefusedError(
            f"You no longer belong to {identity.provider.organisation.name}.",
            rule="still_a_member",
            fix="Ask an owner of the organisation to add you again.",
            email=identity.email,
        )
    return identity.user


def _member_with_address(provider: IdentityProvider, claims: Claims) -> User | None:
    user = User.objects.filter(email__iexact=claims.email).first()
    if user is None:
        return None
    if not _is_member(provider, user):
        raise SignInRefusedError(
            f"{claims.email} belongs to an account outside {provider.organisation.name}.",
            rule="same_organisation",
            fix="Ask support to move the account; that needs the consent of both organisations.",
            asserted=claims.email,
        )
    if Identity.objects.filter(provider=provider, user=user).exists():
        raise SignInRefusedError(
            f"Somebody else has signed in as {claims.email} before.",
            rule="one_person_per_address",
            fix="Ask your administrator whether the address was given to another person.",
            asserted=claims.email,
        )
    return user


def _newcomer(provider: IdentityProvider, claims: Claims) -> User:
    if not provider.creates_members:
        raise SignInRefusedError(
            f"{claims.email} has not been invited to {provider.organisation.name}.",
            rule="invited",
            fix="Ask an owner of the organisation to add you.",
            asserted=claims.email,
        )
    user = actions.create_person(
        actor=ACTOR, email=claims.email, name=claims.name[:150]
    )
    actions.add_member(
        actor=ACTOR,
        organisation=provider.organisation,
        user=user,
        role=provider.default_role,
    )
    return user


def _is_member(provider: IdentityProvider, user: User) -> bool:
    return bool(
        Membership.objects.filter(
            organisation_id=provider.organisation_id, user=user
        ).exists()
    )
