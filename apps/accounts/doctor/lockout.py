"""Who would be locked out if company sign-in were enforced now: the reasons in words, counted, and a bounded list.

The rules themselves are asked by queries.lockout; the action that enforces asks the same function.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from apps.accounts import access
from apps.accounts.models import Organisation
from apps.accounts.queries import USED_WITHIN, Lockout, Outside, Reason, lockout
from apps.core import clock

SHOWN = 200
WORDS: dict[Reason, tuple[str, str]] = {
    Reason.OWNER_NEVER_CAME: (
        "Owner who has never come in through a provider that is switched on",
        "Let them sign in through it once.",
    ),
    Reason.REMOVED: (
        "The provider's word for them was ended when they were removed",
        "Add them again, or remove their membership.",
    ),
    Reason.SUSPENDED: (
        "The provider's word for them is suspended",
        "Lift the suspension on their identity.",
    ),
    Reason.OUTSIDE_DOMAIN: (
        "Their address is outside the proved mail domains",
        "Prove the domain, or give them an address inside one.",
    ),
    Reason.NEVER_CAME: (
        "Has never come in through a provider that is switched on",
        "Let them sign in through it once. It may work; nobody has seen it.",
    ),
    Reason.PROVIDER_UNUSED: (
        f"Nobody has come in through their provider for {USED_WITHIN.days} days",
        "Let somebody sign in through it once: that shows that it still works.",
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Everybody with the same reason."""

    reason: Reason
    number: int

    @property
    def title(self) -> str:
        return WORDS[self.reason][0]

    @property
    def fix(self) -> str:
        return WORDS[self.reason][1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One of them, for people."""

    person: Outside

    @property
    def title(self) -> str:
        return WORDS[self.person.reason][0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """What a page shows before company sign-in is enforced."""

    number: int
    groups: Sequence[Group]
    rows: Sequence[Row]
    owner_inside: bool
    fingerprint: str

    @property
    def more(self) -> int:
        return self.number - len(self.rows)


def picture_of(organisation: Organisation, *, now: datetime | None = None) -> Picture:
    """Whom enforcing it now would leave outside. Three queries, however many they are."""
    found = lockout(
        organisation,
        proved=access.proved_domains(organisation.pk),
        now=now or clock.now(),
    )
    return Picture(
        number=len(found.outside),
        groups=_groups(found),
        rows=[Row(person=each) for each in found.outside[:SHOWN]],
        owner_inside=found.owner_inside,
        fingerprint=found.fingerprint,
    )


def _groups(found: Lockout) -> list[Group]:
    numbers = Counter(each.reason for each in found.outside)
    return [Group(reason=r, number=numbers[r]) for r in Reason if numbers[r]]
