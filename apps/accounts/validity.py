"""Which sign-ins hold at present: limits of time, the password they began under, enforced company sign-in.

Reads only. What ends one for good, and who is told, belongs to actions.sessions.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.conf import settings
from django.contrib.sessions.models import Session
from django.db.models import Count, Exists, F, Min, OuterRef, Q, QuerySet
from django.db.models.functions import Coalesce
from django.utils import timezone
from django.utils.crypto import constant_time_compare, salted_hmac

from apps.accounts.events import EndOfAccess
from apps.accounts.models import Domain, Membership, Organisation, SignIn, User
from apps.core.tenancy import system

IDLE_MINUTES, HOURS = 30, 12
STAFF_IDLE_MINUTES, STAFF_HOURS = 15, 8
SCOPE = system("accounts: which sessions hold")


@dataclass(frozen=True, slots=True, kw_only=True)
class Lifetime:
    """How long a session may lie idle, and how long it lasts whatever happens."""

    idle: timedelta
    whole: timedelta


def lifetime(
    user: User, idle_minutes: int | None = None, hours: int | None = None
) -> Lifetime:
    """From the strictest of a person's organisations; staff get the stricter of that and their own."""
    idle, whole = idle_minutes or IDLE_MINUTES, hours or HOURS
    if user.is_staff:
        idle, whole = min(idle, STAFF_IDLE_MINUTES), min(whole, STAFF_HOURS)
    return Lifetime(idle=timedelta(minutes=idle), whole=timedelta(hours=whole))


def lifetime_at_sign_in(user: User) -> Lifetime:
    """The limits of a session that this person opens now."""
    with SCOPE:
        told = User.objects.filter(pk=user.pk).aggregate(**_strictest("memberships"))
    return lifetime(user, told["idle_minutes"], told["hours"])


def home_of(user_id: UUID) -> UUID | None:
    """The organisation in whose trail a person's signing in is told: the one joined first."""
    with SCOPE:
        found: UUID | None = (
            Membership.objects.filter(user_id=user_id)
            .order_by("created_at", "id")
            .values_list("organisation_id", flat=True)
            .first()
        )
    return found


def owner_of_domain(domain: str) -> UUID | None:
    """The organisation that proved this mail domain: tries to get in there are told to it."""
    with SCOPE:
        found: UUID | None = (
            Domain.objects.filter(domain=domain, proved_at__isnull=False)
            .values_list("organisation_id", flat=True)
            .first()
        )
    return found


def keeps_password(user: User) -> bool:
    """Whether enforced company sign-in leaves this person their password: staff have doors of their own."""
    return user.is_staff


def wall_of(user_id: UUID) -> Organisation | None:
    """An organisation of this person's that takes no passwords."""
    with SCOPE:
        row = (
            Membership.objects.select_related("organisation")
            .filter(
                user_id=user_id,
                organisation__status=Organisation.Status.ACTIVE,
                organisation__sso_required=True,
            )
            .first()
        )
    return row.organisation if row is not None else None


def held(**which: object) -> QuerySet[SignIn]:
    """The sign-ins that nobody ended and whose session is still stored, with what decides about them."""
    session = Session.objects.filter(
        session_key=OuterRef("session_key"), expire_date__gt=timezone.now()
    )
    place = "user__memberships__organisation"
    walled = Q(
        **{
            f"{place}__status": Organisation.Status.ACTIVE,
            f"{place}__sso_required": True,
        }
    )
    return (
        SignIn.objects.filter(Exists(session), ended_at__isnull=True, **which)
        .select_related("user", "provider__organisation")
        .annotate(
            **_strictest("user__memberships"),
            walls=Count("user__memberships", filter=walled),
        )
    )


def found(session_key: str) -> SignIn | None:
    """The sign-in of a session that nobody ended, whether or not it still holds."""
    with SCOPE:
        return held(session_key=session_key).first()


def live(keys: Collection[str], now: datetime) -> dict[str, SignIn]:
    """Of these session keys, those that hold: one query."""
    with SCOPE:
        rows = list(held(session_key__in=keys))
    return {row.session_key: row for row in rows if why_void(row, now) is None}


def live_people(user_ids: Collection[UUID], now: datetime) -> set[UUID]:
    """Of these people, those with a session that holds: one query."""
    with SCOPE:
        rows = list(held(user__in=user_ids, ends_at__gt=now))
    return {row.user_id for row in rows if why_void(row, now) is None}


def live_of(user_id: UUID, now: datetime) -> list[SignIn]:
    """A person's sessions that hold, the one used last first."""
    with SCOPE:
        rows = list(held(user=user_id).order_by("-seen_at"))
    return [row for row in rows if why_void(row, now) is None]


def why_void(row: SignIn, now: datetime) -> EndOfAccess | None:
    """What ended this sign-in; None while it holds. `row` comes from `held`."""
    user = row.user
    limits = lifetime(user, row.idle_minutes, row.hours)  # type: ignore[attr-defined]  # annotated
    if not user.is_active:
        return EndOfAccess.DEACTIVATED
    if not is_stamp_of(user, row.stamp):
        return EndOfAccess.PASSWORD_CHANGED
    if now >= min(row.ends_at, row.signed_in_at + limits.whole):
        return EndOfAccess.SESSION_EXPIRED
    if now - row.seen_at >= limits.idle:
        return EndOfAccess.SESSION_IDLE
    return _why_refused(row)


def _why_refused(row: SignIn) -> EndOfAccess | None:
    """The rules of signing in, asked again: they may have changed since."""
    if row.method == SignIn.Method.PASSWORD:
        walled = row.walls and not keeps_password(row.user)  # type: ignore[attr-defined]  # annotated
        return EndOfAccess.PROVIDER_REQUIRED if walled else None
    if row.user.is_staff and not of_platform(row):
        return EndOfAccess.STAFF_ELSEWHERE
    return None


def of_platform(row: SignIn) -> bool:
    """Whether Netra's own provider vouches for it."""
    provider = row.provider
    return (
        provider is not None
        and provider.organisation.kind == Organisation.Kind.PLATFORM
    )


def is_strong(row: SignIn) -> bool:
    """Whether it may do what staff do: Netra's own provider, or a second factor. The demo has neither."""
    return bool(settings.NETRA_DEMO or row.second_factor) or of_platform(row)


def lacks_factor(row: SignIn) -> bool:
    """Whether this is a member of staff who must show a second factor before anything else."""
    return row.user.is_staff and not is_strong(row)


def stamp_of(user: User, secret: str | None = None) -> str:
    """What a session remembers of the password it began under; another password has another one."""
    return salted_hmac(
        "accounts.signin", user.password, secret=secret, algorithm="sha256"
    ).hexdigest()


def is_stamp_of(user: User, stamp: str) -> bool:
    """Whether the password is still the same, under the present key or one of those before."""
    secrets: list[str | None] = [None, *settings.SECRET_KEY_FALLBACKS]
    return any(constant_time_compare(stamp, stamp_of(user, key)) for key in secrets)


def _strictest(memberships: str) -> dict[str, Min]:
    """The shortest limits of a person's active organisations; one that says nothing has the default."""
    place = f"{memberships}__organisation"
    active = Q(**{f"{place}__status": Organisation.Status.ACTIVE})
    return {
        "idle_minutes": Min(
            Coalesce(F(f"{place}__session_idle_minutes"), IDLE_MINUTES), filter=active
        ),
        "hours": Min(Coalesce(F(f"{place}__session_hours"), HOURS), filter=active),
    }
