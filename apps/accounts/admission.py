"""Who may come in through an organisation's provider: the rules, then the rows they lead to.

Knows nothing of protocols. What hardens the protocol itself (nonce, signature, exact issuer,
enforced sign-in through the provider, fresh authentication) belongs to the adapter's provider class.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from apps.accounts import actions, standing
from apps.accounts.access import proved_domains
from apps.accounts.domains.names import domain_of, normal_address
from apps.accounts.models import (
    DirectoryMember,
    Identity,
    IdentityProvider,
    Membership,
    User,
)
from apps.accounts.roles import (
    GIVEN,
    RoleFrom,
    RoleGiven,
    claim_values,
    highest,
    role_told,
)
from apps.accounts.standing import Rule
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """Whom the claims lead to at present: by the subject, else by the address."""

    identity: Identity | None = None
    user: User | None = None
    place: Membership | None = None  # in the provider's organisation


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """How one rule was answered. After the first refusal no other is asked."""

    rule: str
    asked: bool = True
    refusal: SignInRefusedError | None = None

    @property
    def passed(self) -> bool:
        return self.asked and self.refusal is None


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """Every rule's verdict in the order in which they are asked, and whom they were asked about."""

    verdicts: tuple[Verdict, ...]
    found: Found

    @property
    def refusal(self) -> SignInRefusedError | None:
        return next((v.refusal for v in self.verdicts if v.refusal is not None), None)


def admit(
    provider: IdentityProvider, claims: Claims, *, now: datetime | None = None
) -> User:
    """The person who may come in, with identity and membership written; refuses everybody else.

    (provider, sub) is the person. An address only ever finds a member of the same organisation.
    """
    judged = judge(provider, claims, lock=True)
    if judged.refusal is not None:
        raise judged.refusal
    found = judged.found
    user = found.user or actions.create_person(
        actor=ACTOR,
        email=claims.email,
        name=claims.name[:150],
        organisation_id=provider.organisation_id,
    )
    _settle(provider, user, found.place, claims)
    actions.link_identity(
        actor=ACTOR,
        provider=provider,
        user=user,
        sub=claims.sub,
        email=claims.email,
        role=_told(provider, claims).role if _gives_roles(provider) else "",
        now=now,
    )
    return user


def judge(
    provider: IdentityProvider, claims: Claims, *, lock: bool = False
) -> Judgement:
    """Ask every rule, and write nothing. `lock` keeps what was found until the transaction ends."""
    verdicts = _ask(CLAIM_RULES, provider, claims, Found())
    passed = verdicts[-1].passed
    found = _find(provider, claims, lock=lock) if passed else Found()
    verdicts += _ask(PERSON_RULES, provider, claims, found, go_on=passed)
    return Judgement(verdicts=tuple(verdicts), found=found)


def role_given(
    provider: IdentityProvider, place: Membership | None, claims: Claims
) -> RoleGiven:
    """The role that this sign-in leads to: the highest mapped one, else the provider's default.

    Who has a place follows the map, or what the directory's groups give where that is more.
    """
    if place is not None and place.role == Membership.Role.OWNER:
        return RoleGiven(role=place.role, by=RoleFrom.OWNER)
    if place is not None and not _gives_roles(provider):
        return RoleGiven(role=place.role, by=RoleFrom.KEPT)
    told = _told(provider, claims)
    if place is None:
        return told
    groups = DirectoryMember.objects.filter(
        organisation_id=place.organisation_id, person__user_id=place.user_id
    ).values_list("group__role", flat=True)
    role = highest([told.role, *(r for r in groups if r in GIVEN)])
    if role is None or role == told.role:
        return told
    return RoleGiven(role=role, by=RoleFrom.DIRECTORY)


def _gives_roles(provider: IdentityProvider) -> bool:
    return bool(provider.role_claim and provider.role_map)


def _told(provider: IdentityProvider, claims: Claims) -> RoleGiven:
    """What the provider alone gives."""
    values = claim_values(claims.attributes, provider.role_claim)
    return role_told(values, provider.role_map, str(provider.default_role))


def _find(provider: IdentityProvider, claims: Claims, *, lock: bool) -> Found:
    """Identity and person are locked before the membership, and the trail's head after both."""
    identities = Identity.objects.select_related("user")
    places = Membership.objects.all()
    if lock:
        identities = identities.select_for_update(no_key=True, of=("self", "user"))
        places = places.select_for_update()
    known = identities.filter(provider=provider, sub=claims.sub).first()
    user = (
        known.user
        if known is not None
        else User.objects.filter(email__iexact=claims.email).first()
    )
    own = places.filter(organisation_id=provider.organisation_id, user=user)
    return Found(identity=known, user=user, place=own.first() if user else None)


# -- the rules, in the order in which they are asked ---------------------------------------


def _claims_present(
    provider: IdentityProvider, claims: Claims, _: Found
) -> SignInRefusedError | None:
    if claims.sub and len(claims.sub) <= SUB_LENGTH and claims.emails:
        return None
    return SignInRefusedError(
        f"{provider.name} did not tell us who you are: the subject or the e-mail address is missing.",
        rule="claims_present",
        fix="Ask your administrator to release the e-mail address to Netra.",
    )


def _own_domain(
    provider: IdentityProvider, claims: Claims, _: Found
) -> SignInRefusedError | None:
    """A provider may assert the domains its organisation proved; this is what stops take-overs between customers."""
    proved = proved_domains(provider.organisation_id)
    foreign = standing.foreign_among(claims.emails, proved)
    if foreign is None:
        return None
    return SignInRefusedError(
        f"{provider.name} may not speak for {foreign}.",
        rule=Rule.OWN_DOMAIN,
        fix="Sign in with an address of your company's own domain, or through your own company.",
        asserted=foreign,
        allowed_domains=", ".join(sorted(proved)),
    )


def _verified_address(
    provider: IdentityProvider, claims: Claims, _: Found
) -> SignInRefusedError | None:
    if not claims.unverified:
        return None
    return SignInRefusedError(
        f"{provider.name} has not verified {claims.email}.",
        rule="verified_address",
        fix="Confirm your e-mail address with your company, then sign in again.",
        asserted=claims.email,
    )


def _still_a_member(
    provider: IdentityProvider, _: Claims, found: Found
) -> SignInRefusedError | None:
    known = found.identity
    if known is None or standing.against_identity(known) != Rule.STILL_A_MEMBER:
        return None
    return SignInRefusedError(
        f"You no longer belong to {provider.organisation.name}.",
        rule=Rule.STILL_A_MEMBER,
        fix="Ask an owner of the organisation to add you again.",
        email=known.email,
    )


def _identity_active(
    _: IdentityProvider, __: Claims, found: Found
) -> SignInRefusedError | None:
    known = found.identity
    if known is None or standing.against_identity(known) != Rule.IDENTITY_ACTIVE:
        return None
    return SignInRefusedError(
        "This way of signing in is suspended.",
        rule=Rule.IDENTITY_ACTIVE,
        fix="Ask an owner of your organisation to lift the suspension.",
        email=known.email,
    )


def _same_organisation(
    provider: IdentityProvider, claims: Claims, found: Found
) -> SignInRefusedError | None:
    """An address finds members only; whom the subject finds was one when it was linked."""
    if found.identity is not None or found.user is None or found.place is not None:
        return None
    return SignInRefusedError(
        f"{claims.email} belongs to an account outside {provider.organisation.name}.",
        rule="same_organisation",
        fix="Ask support to move the account; that needs the consent of both organisations.",
        asserted=claims.email,
    )


def _one_person_per_address(
    provider: IdentityProvider, claims: Claims, found: Found
) -> SignInRefusedError | None:
    if found.identity is not None or found.user is None:
        return None
    if not Identity.objects.filter(provider=provider, user=found.user).exists():
        return None
    return SignInRefusedError(
        f"Somebody else has signed in as {claims.email} before.",
        rule="one_person_per_address",
        fix="Ask your administrator whether the address was given to another person.",
        asserted=claims.email,
    )


def _active_account(
    provider: IdentityProvider, _: Claims, found: Found
) -> SignInRefusedError | None:
    if _against(provider, found) != Rule.ACTIVE_ACCOUNT or found.user is None:
        return None
    return SignInRefusedError(
        "This account is closed.",
        rule=Rule.ACTIVE_ACCOUNT,
        fix="Ask an owner of your organisation to open it again.",
        email=found.user.email,
    )


def _staff_elsewhere(
    provider: IdentityProvider, _: Claims, found: Found
) -> SignInRefusedError | None:
    """No customer's provider yields a member of staff."""
    if _against(provider, found) != Rule.STAFF_ELSEWHERE or found.user is None:
        return None
    return SignInRefusedError(
        "Members of Netra's staff do not sign in through a customer.",
        rule=Rule.STAFF_ELSEWHERE,
        fix="Sign in with your password, or through Netra's own provider.",
        email=found.user.email,
    )


def _against(provider: IdentityProvider, found: Found) -> Rule | None:
    user = found.user
    return standing.against_person(user, provider.organisation) if user else None


def _invited(
    provider: IdentityProvider, claims: Claims, found: Found
) -> SignInRefusedError | None:
    if found.place is not None or provider.creates_members:
        return None
    return SignInRefusedError(
        f"{claims.email} has not been invited to {provider.organisation.name}.",
        rule="invited",
        fix="Ask an owner of the organisation to add you.",
        asserted=claims.email,
    )


Asked = Callable[[IdentityProvider, Claims, Found], SignInRefusedError | None]
CLAIM_RULES: dict[str, Asked] = {
    "claims_present": _claims_present,
    Rule.OWN_DOMAIN: _own_domain,
    "verified_address": _verified_address,
}
PERSON_RULES: dict[str, Asked] = {
    Rule.STILL_A_MEMBER: _still_a_member,
    Rule.IDENTITY_ACTIVE: _identity_active,
    "same_organisation": _same_organisation,
    "one_person_per_address": _one_person_per_address,
    Rule.ACTIVE_ACCOUNT: _active_account,
    Rule.STAFF_ELSEWHERE: _staff_elsewhere,
    "invited": _invited,
}


def _ask(
    rules: Mapping[str, Asked],
    provider: IdentityProvider,
    claims: Claims,
    found: Found,
    *,
    go_on: bool = True,
) -> list[Verdict]:
    verdicts = []
    for name, ask in rules.items():
        refusal = ask(provider, claims, found) if go_on else None
        verdicts.append(Verdict(rule=str(name), asked=go_on, refusal=refusal))
        go_on = go_on and refusal is None
    return verdicts


# -- what a sign-in writes -----------------------------------------------------------------


def _settle(
    provider: IdentityProvider, user: User, place: Membership | None, claims: Claims
) -> None:
    """Bring membership, role and address up to what the provider says now."""
    role = role_given(provider, place, claims).role
    if place is None:
        actions.add_member(
            actor=ACTOR, organisation=provider.organisation, user=user, role=role
        )
    elif role != place.role:
        actions.change_role(actor=ACTOR, membership=place, role=role)
    if claims.email != user.email:
        _follow_address(provider, user, claims)


def _follow_address(provider: IdentityProvider, user: User, claims: Claims) -> None:
    """Follow a changed address only out of and into domains of this organisation, and only when free."""
    if domain_of(user.email) in proved_domains(provider.organisation_id):
        actions.follow_address(
            actor=ACTOR,
            user=user,
            email=claims.email,
            organisation_id=provider.organisation_id,
        )
