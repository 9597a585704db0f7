"""The demo, told in order: people, usage, what was asked, what still stands. Safe to repeat."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from apps.accounts.access import Principal, principal_for
from apps.accounts.models import Organisation, User
from apps.core.database import write_now
from apps.core.tenancy import system, tenant
from apps.executions.models import Execution
from apps.ops.demo import exhibits, people, records, scenes, support
from apps.ops.demo.cast import COMPANIES, PEOPLE
from apps.ops.demo.spending import FEATURES

SEEDING = system("demo: seeding organisations and people")
ASKER = "support@netra.example"
READ = "acme"  # whose conversation support read once
CURATOR = (
    "lead@netra.example"  # whose exhibits they are; nobody chats as the support lead
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """How much a seeding added."""

    organisations: int
    people: int
    records: int
    executions: int
    exhibits: int

    @property
    def anything(self) -> bool:
        return any(
            (
                self.organisations,
                self.people,
                self.records,
                self.executions,
                self.exhibits,
            )
        )


def seed(now: datetime) -> Made:
    """Add whatever of the demo is missing."""
    before = _counts()
    organisations = write_now(SEEDING, people.settle)
    after = _counts()
    made = [_fill(organisation, now) for organisation in organisations.values()]
    _support(organisations[READ])
    return Made(
        organisations=after[0] - before[0],
        people=after[1] - before[1],
        records=sum(row[0] for row in made),
        executions=sum(row[1] for row in made),
        exhibits=_exhibit(now),
    )


def _counts() -> tuple[int, int]:
    slugs = [company.slug for company in COMPANIES]
    emails = [person.email for person in PEOPLE]
    return (
        Organisation.objects.filter(slug__in=slugs).count(),
        User.objects.filter(email__in=emails).count(),
    )


def _fill(organisation: Organisation, now: datetime) -> tuple[int, int]:
    """One organisation's usage and conversations, in one transaction under its own scope."""

    def unit() -> tuple[int, int]:
        past = Execution.objects.exclude(runner=exhibits.WORK)
        today = now.astimezone(UTC).date()
        added = (
            records.fill(organisation, today) if organisation.slug in FEATURES else 0
        )
        if past.exists():  # told before, or the organisation already lives its own life
            return added, 0
        scenes.play(scenes.Stage(organisation, _principals(organisation.slug), today))
        return added, past.count()

    return write_now(tenant(organisation.pk), unit)


def _exhibit(now: datetime) -> int:
    curator = _principal(CURATOR, "netra")
    return write_now(curator.scope, lambda: exhibits.put_up(curator, now))


def _support(organisation: Organisation) -> None:
    asker, second = _principal(ASKER, "netra"), _principal(CURATOR, "netra")
    write_now(
        tenant(organisation.pk), lambda: support.play(organisation, asker, second)
    )


def _principals(slug: str) -> dict[str, Principal]:
    """The organisation's people by the first part of their address."""
    emails = [person.email for person in PEOPLE if person.company == slug]
    return {email.partition("@")[0]: _principal(email, slug) for email in emails}


def _principal(email: str, slug: str) -> Principal:
    return principal_for(User.objects.get(email=email).pk, slug)
