"""Who may come in through an organisation's provider: the rules, then the rows they lead to.

Knows nothing of protocols. What hardens the protocol itself (nonce, signature, exact issuer,
enforced sign-in through the provider, fresh authentication) belongs to the adapter's provider class.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from apps.accounts import actions
from apps.accounts.access import proved_domains
from apps.accounts.domains.names import domain_of, normal_address
from apps.accounts.models import (
    DirectoryMember,
    Identity,
    IdentityProvider,
    Membership,
    Organisation,
    User,
)
from apps.accounts.roles import GIVEN, claim_values, highest, mapped_role
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
    # all that it told, for the claim that lists roles
    attributes: Mapping[str, object] = field(default_factory=dict)

    @property
    def email(self) -> str:
        return normal_address(self.emails[0])


def admit(
    provider: IdentityProvider, claims: Claims, *, now: datetime | None = None
) -> User:
    """The person who may come in, with identity and membership written; refuses everybody else.

    (provider, sub) is the person. An address only ever finds a member of the same organisation.
    """
    check_claims(provider, claims)
    known = (
        Identity.objects.select_related("user")
        .select_for_update(no_key=True, of=("self", "user"))
        .filter(provider=provider, sub=claims.sub)
        .first()
    )
    user: User
    if known is not None:
        user = known.user
        _check_identity(known)
    else:
        user = _member_with_address(provider, claims) or _newcomer(provider, claims)
    check_person(provider, user)
    _settle(provider, user, claims)
    actions.link_identity(
        actor=ACTOR,
        provider=provider,
        user=user,
        sub=claims.sub,
        email=claims.email,
        now=now,
    )
    return user


def role_for(provider: IdentityProvider, claims: Claims) -> str:
    """The role that the provider gives this person: the highest mapped one, else its default."""
    values = claim_values(claims.attributes, provider.role_claim)
    return mapped_role(values, provider.role_map) or str(provider.default_role)


def check_claims(provider: IdentityProvider, claims: Claims) -> None:
    """A provider may assert the domains its organisation proved; this is what stops take-overs between customers."""
    if not claims.sub or len(claims.sub) > SUB_LENGTH or not claims.emails:
        raise SignInRefusedError(
            f"{provider.name} did not tell us who you are: the subject or the e-mail address is missing.",
            rule="claims_present",
            fix="Ask your administrator to release the e-mail address to Netra.",
        )
    proved = proved_domains(provider.organisation_id)
    for email in claims.emails:
        if domain_of(email) not in proved:
            raise SignInRefusedError(
                f"{provider.name} may not speak for {email}.",
                rule="own_domain",
                fix="Sign in with an address of your company's own domain, or through your own company.",
                asserted=email,
                allowed_domains=", ".join(sorted(proved)),
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


def _check_identity(identity: Identity) -> None:
    if identity.status == Identity.Status.ACTIVE:
        return
    # Removing a person suspends their identities: a sign-in must not undo it.
    if identity.reason == Identity.Reason.REMOVED:
        raise SignInRefusedError(
            f"You no longer belong to {identity.provider.organisation.name}.",
            rule="still_a_member",
            fix="Ask an owner of the organisation to add you again.",
            email=identity.email,
        )
    raise SignInRefusedError(
        "This way of signing in is suspended.",
        rule="identity_active",
        fix="Ask an owner of your organisation to lift the suspension.",
        email=identity.email,
    )


def _settle(provider: IdentityProvider, user: User, claims: Claims) -> None:
    """Bring membership, role and address up to what the provider says now.

    The membership's row is locked first, so that the trail's head is the last lock.
    """
    place = (
        Membership.objects.select_for_update()
        .filter(organisation_id=provider.organisation_id, user=user)
        .first()
    )
    if place is None:
        _join(provider, user, claims)
    elif provider.role_claim and provider.role_map:
        _follow_role(provider, place, claims)
    if claims.email != user.email:
        _follow_address(provider, user, claims)


def _join(provider: IdentityProvider, user: User, claims: Claims) -> None:
    if not provider.creates_members:
        raise _not_invited(provider, claims)
    actions.add_member(
        actor=ACTOR,
        organisation=provider.organisation,
        user=user,
        role=role_for(provider, claims),
    )


def _follow_role(provider: IdentityProvider, place: Membership, claims: Claims) -> None:
    """Raise or lower to the mapped role, or to what the directory's groups give where that is more.

    Owners are made by hand and stay.
    """
    if place.role == Membership.Role.OWNER:
        return
    groups = DirectoryMember.objects.filter(
        organisation_id=place.organisation_id, person__user_id=place.user_id
    ).values_list("group__role", flat=True)
    role = highest([role_for(provider, claims), *(r for r in groups if r in GIVEN)])
    if role is not None and role != place.role:
        actions.change_role(actor=ACTOR, membership=place, role=role)


def _follow_address(provider: IdentityProvider, user: User, claims: Claims) -> None:
    """Follow a changed address only out of and into domains of this organisation, and only when free."""
    if domain_of(user.email) in proved_domains(provider.organisation_id):
        actions.follow_address(
            actor=ACTOR,
            user=user,
            email=claims.email,
            organisation_id=provider.organisation_id,
        )


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
        raise _not_invited(provider, claims)
    return actions.create_person(
        actor=ACTOR,
        email=claims.email,
        name=claims.name[:150],
        organisation_id=provider.organisation_id,
    )


def _not_invited(provider: IdentityProvider, claims: Claims) -> SignInRefusedError:
    return SignInRefusedError(
        f"{claims.email} has not been invited to {provider.organisation.name}.",
        rule="invited",
        fix="Ask an owner of the organisation to add you.",
        asserted=claims.email,
    )


def _is_member(provider: IdentityProvider, user: User) -> bool:
    return bool(
        Membership.objects.filter(
            organisation_id=provider.organisation_id, user=user
        ).exists()
    )
