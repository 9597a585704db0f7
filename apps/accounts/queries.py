"""Reads about organisations that span models: the canaries, and whom enforced sign-in would leave outside."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from django.db.models import QuerySet

from apps.accounts import standing, validity
from apps.accounts.models import Identity, Membership, Organisation
from apps.accounts.standing import Rule

USED_WITHIN = timedelta(days=30)


class Reason(StrEnum):
    """Why somebody would be left outside; who reads a list of many sees the first ones first."""

    OWNER_NEVER_CAME = "owner_never_came"
    REMOVED = "removed"
    SUSPENDED = "suspended"
    OUTSIDE_DOMAIN = "outside_domain"
    NEVER_CAME = "never_came"
    PROVIDER_UNUSED = "provider_unused"


OF_RULE = {
    Rule.STILL_A_MEMBER: Reason.REMOVED,
    Rule.IDENTITY_ACTIVE: Reason.SUSPENDED,
}
ORDER = list(Reason)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outside:
    """A member whom nothing would let in, with the reason nearest to being let in."""

    user_id: UUID
    email: str
    role: str
    reason: Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Lockout:
    """What enforcing company sign-in now would do: who stays outside, and whether an owner comes in."""

    outside: tuple[Outside, ...]
    owner_inside: bool

    @property
    def fingerprint(self) -> str:
        """Stands for this very list: whoever agreed to it did not agree to another."""
        told = sorted(f"{each.user_id} {each.reason}" for each in self.outside)
        return hashlib.sha256("\n".join(told).encode()).hexdigest()[:32]


def canaries() -> QuerySet[Organisation]:
    """The organisations that exist for isolation audits only."""
    return Organisation.objects.filter(kind=Organisation.Kind.CANARY)


def lockout(
    organisation: Organisation, *, proved: Collection[str], now: datetime
) -> Lockout:
    """Whom of its members the rules of signing in would refuse, or have never let in. Two queries.

    `proved` are the domains that its providers may speak for. Closed accounts come in neither way
    and are left out, as is whoever keeps a password.
    """
    identities = _identities(organisation, now)
    outside, owner_inside = [], False
    members = Membership.objects.filter(
        organisation=organisation, user__is_active=True
    ).select_related("user")
    for place in members:
        reason = _reason(place, identities.get(place.user_id, ()), proved)
        if reason is not None:
            outside.append(
                Outside(
                    user_id=place.user_id,
                    email=place.user.email,
                    role=place.role,
                    reason=reason,
                )
            )
        elif place.role == Membership.Role.OWNER:
            owner_inside = True
    outside.sort(key=lambda each: (ORDER.index(each.reason), each.email))
    return Lockout(outside=tuple(outside), owner_inside=owner_inside)


def _identities(
    organisation: Organisation, now: datetime
) -> Mapping[UUID, Sequence[tuple[Identity, bool]]]:
    """Person → their identities at providers that are switched on, each with whether that provider is in use."""
    rows = list(
        Identity.objects.filter(organisation=organisation, provider__enabled=True)
    )
    fresh = {
        row.provider_id
        for row in rows
        if row.last_used_at is not None and row.last_used_at >= now - USED_WITHIN
    }
    found: dict[UUID, list[tuple[Identity, bool]]] = {}
    for row in rows:
        found.setdefault(row.user_id, []).append((row, row.provider_id in fresh))
    return found


def _reason(
    place: Membership,
    identities: Iterable[tuple[Identity, bool]],
    proved: Collection[str],
) -> Reason | None:
    if validity.keeps_password(place.user):
        return None
    reasons = [
        _against(identity, provider_in_use=used, proved=proved)
        for identity, used in identities
    ]
    if None in reasons:
        return None
    told = [reason for reason in reasons if reason is not None]
    if told:
        return max(told, key=ORDER.index)
    if standing.foreign_among([place.user.email], proved):
        return Reason.OUTSIDE_DOMAIN
    owner = place.role == Membership.Role.OWNER
    return Reason.OWNER_NEVER_CAME if owner else Reason.NEVER_CAME


def _against(
    identity: Identity, *, provider_in_use: bool, proved: Collection[str]
) -> Reason | None:
    rule = standing.against_identity(identity)
    if rule is not None:
        return OF_RULE[rule]
    if standing.foreign_among([identity.email], proved):
        return Reason.OUTSIDE_DOMAIN
    return None if provider_in_use else Reason.PROVIDER_UNUSED
