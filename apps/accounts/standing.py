"""How people stand towards their company's sign-in: the rules that their own rows decide.

Admission asks them at each sign-in; whoever enforces company sign-in asks them about everybody first.
Decides only: the sentences are admission's, the rows are looked up by whoever asks.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from enum import StrEnum

from apps.accounts.domains.names import domain_of
from apps.accounts.models import Identity, Organisation, User


class Rule(StrEnum):
    """Why a provider's word does not let this person in, by the name that refusals carry."""

    OWN_DOMAIN = "own_domain"
    ACTIVE_ACCOUNT = "active_account"
    STAFF_ELSEWHERE = "staff_elsewhere"
    STILL_A_MEMBER = "still_a_member"
    IDENTITY_ACTIVE = "identity_active"


def foreign_among(emails: Iterable[str], proved: Collection[str]) -> str | None:
    """The first address that is outside the domains that the organisation proved."""
    return next((email for email in emails if domain_of(email) not in proved), None)


def against_identity(identity: Identity) -> Rule | None:
    """What stops a known subject of a provider."""
    if identity.status == Identity.Status.ACTIVE:
        return None
    # Removing a person suspends their identities: a sign-in must not undo it.
    if identity.reason == Identity.Reason.REMOVED:
        return Rule.STILL_A_MEMBER
    return Rule.IDENTITY_ACTIVE


def against_person(user: User, organisation: Organisation) -> Rule | None:
    """What stops an account that a provider of this organisation speaks for."""
    if not user.is_active:
        return Rule.ACTIVE_ACCOUNT
    if user.is_staff and organisation.kind != Organisation.Kind.PLATFORM:
        return Rule.STAFF_ELSEWHERE
    return None
