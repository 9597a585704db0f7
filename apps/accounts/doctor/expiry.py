"""What of company sign-in ends soon, or has ended: secrets, proofs of domains, tokens, signing keys."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

from django.db.models import (
    DateTimeField,
    Expression,
    F,
    IntegerField,
    Q,
    QuerySet,
    Value,
)
from django.db.models.functions import Cast, Coalesce

from apps.accounts.doctor.findings import Grade
from apps.accounts.models import (
    Domain,
    IdentityProvider,
    Organisation,
    ScimToken,
    Token,
)
from apps.accounts.oidc import keywatch
from apps.accounts.oidc.keywatch import Mark, Trouble
from apps.core import clock

DAY, WEEK, MONTH = timedelta(days=1), timedelta(days=7), timedelta(days=30)
TOLD_AFTER = WEEK  # a token that ended longer ago is missed by nobody
MOST = 50


class Kind(StrEnum):
    """What ends. Few secrets stand before many tokens."""

    SECRET = "secret"  # noqa: S105 - the name of a kind
    KEYS = "keys"
    DOMAIN = "domain"
    SCIM_TOKEN = "scim_token"  # noqa: S105 - the name of a kind
    TOKEN = "token"  # noqa: S105 - the name of a kind

    @property
    def model(self) -> str:
        """Whose page shows it."""
        return MODELS[self]


MODELS = {
    Kind.SECRET: "identityprovider",
    Kind.KEYS: "identityprovider",
    Kind.DOMAIN: "domain",
    Kind.SCIM_TOKEN: "scimtoken",
    Kind.TOKEN: "token",
}
RANK = {kind: number for number, kind in enumerate(Kind)}
# Before its end and after, and what to do.
WORDS: dict[Kind, tuple[str, str, str]] = {
    Kind.SECRET: (
        "The client secret of {} ends",
        "The client secret of {} ended",
        "Make a new one at the provider and enter it here, with its end.",
    ),
    Kind.DOMAIN: (
        "The proof of {} was not found; the domain is suspended if it is missing again",
        "The domain {} was suspended: its proof is gone",
        "Set the TXT record that the domain's page shows, then press “Check now”.",
    ),
    Kind.SCIM_TOKEN: (
        "The directory token {} ends",
        "The directory token {} ended",
        "Make a new token, enter it in the directory, then revoke this one.",
    ),
    Kind.TOKEN: (
        "The API token {} ends",
        "The API token {} ended",
        "Its owner makes a new one; nobody else can.",
    ),
}
KEYS: dict[Trouble, tuple[str, str]] = {
    Trouble.UNREACHABLE: (
        "The signing keys of {} cannot be fetched",
        "See whether the provider is up; “Check set-up” tells what is wrong.",
    ),
    Trouble.SWAPPED: (
        "{} changed all its signing keys at once",
        "Nothing, if sign-ins go on. Ask the provider to publish a new key before it is used.",
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """One thing that ends, or has ended."""

    kind: Kind
    row_id: UUID
    organisation: str
    said: str
    fix: str
    at: datetime
    grade: Grade
    within: timedelta  # the narrowest of a day, a week, a month; nothing: it is over

    @property
    def is_over(self) -> bool:
        return not self.within


def endings(
    provider: IdentityProvider | None = None, *, now: datetime | None = None
) -> list[Ending]:
    """The first that end, of everybody or of what one provider's people depend on. One bounded query.

    One more than MOST means that there are more.
    """
    now = now or clock.now()
    marks = keywatch.troubles()
    rows = _rows(now, provider, marks)
    return [_ending(row, marks, now) for row in rows[: MOST + 1]]


def within(at: datetime, now: datetime) -> timedelta:
    """How near an end is: a day, a week or a month; nothing when it is over."""
    left = at - now
    if left <= timedelta():
        return timedelta()
    return next((limit for limit in (DAY, WEEK) if left <= limit), MONTH)


def _rows(
    now: datetime, provider: IdentityProvider | None, marks: Mapping[UUID, Mark]
) -> QuerySet[Any, Any]:
    soon, lately = now + MONTH, now - TOLD_AFTER
    providers = _of(IdentityProvider.objects.filter(enabled=True), provider)
    if provider is not None:
        providers = providers.filter(pk=provider.pk)
    domains = _of(Domain.objects.filter(proved_at__isnull=False), provider).filter(
        Q(suspended_at__isnull=False) | Q(failures__gt=0)
    )
    lapse = Coalesce("suspended_at", "look_again_at", "checked_at", "proved_at")
    tokens = Q(revoked_at__isnull=True, expires_at__range=(lately, soon))
    directory = _of(ScimToken.objects.filter(tokens), provider)
    own = _of(Token.objects.filter(tokens, user__is_active=True), provider)
    parts = [
        _part(Kind.KEYS, providers.filter(pk__in=marks), "name", F("created_at")),
        _part(Kind.DOMAIN, domains, "domain", lapse, over="suspended_at"),
        _part(Kind.SCIM_TOKEN, directory, "prefix", F("expires_at")),
        _part(Kind.TOKEN, own, "prefix", F("expires_at")),
    ]
    secrets = providers.filter(secret_expires_at__lte=soon)
    first = _part(Kind.SECRET, secrets, "name", F("secret_expires_at"))
    found: QuerySet[Any, Any] = first.union(*parts, all=True).order_by("rank", "at")
    return found


def _of(rows: QuerySet[Any], provider: IdentityProvider | None) -> QuerySet[Any]:
    """Those of organisations at work; with a provider, of its organisation."""
    active = rows.filter(organisation__status=Organisation.Status.ACTIVE)
    found: QuerySet[Any] = active.exclude(organisation__kind=Organisation.Kind.CANARY)
    if provider is None:
        return found
    return found.filter(organisation_id=provider.organisation_id)


def _part(
    kind: Kind, rows: QuerySet[Any], label: str, at: Expression | F, over: str = ""
) -> QuerySet[Any, Any]:
    """One kind in the columns that all have; `over` is the moment since when it is over, where `at` is not the end."""
    # PostgreSQL takes an untyped nothing for text.
    since = F(over) if over else Cast(Value(None), DateTimeField())
    found: QuerySet[Any, Any] = (
        rows.order_by()
        .annotate(
            rank=Value(RANK[kind], IntegerField()),
            place=F("organisation__name"),
            label=F(label),
            at=at,
            over=since,
        )
        .values_list("rank", "pk", "place", "label", "at", "over")
    )
    return found


def _ending(row: tuple[Any, ...], marks: Mapping[UUID, Mark], now: datetime) -> Ending:
    rank, row_id, place, label, at, over = row
    kind = list(Kind)[rank]
    near = timedelta() if over else within(at, now)
    if kind is Kind.DOMAIN and not over:
        near = near or DAY  # it stands until it is looked up again
    before, after, fix = WORDS[kind] if kind is not Kind.KEYS else ("", "", "")
    said = before if near else after
    grade = Grade.WARN if near > DAY else Grade.FAIL
    if kind is Kind.KEYS:
        mark = marks[row_id]
        at, near, (said, fix) = mark.at, timedelta(), KEYS[mark.trouble]
        grade = Grade.WARN if mark.trouble is Trouble.SWAPPED else Grade.FAIL
    return Ending(
        kind=kind,
        row_id=row_id,
        organisation=place,
        said=said.replace("{}", label),
        fix=fix,
        at=at,
        grade=grade,
        within=near,
    )
