"""Sessions of people: begun, used, confirmed anew, ended. What holds at present is told by validity."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.contrib.sessions.models import Session
from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from apps.accounts import validity
from apps.accounts.events import AccessEnded, EndOfAccess
from apps.accounts.models import IdentityProvider, SignIn, User
from apps.audits import trail
from apps.audits.acts import Act
from apps.audits.chain import Value
from apps.core.actors import Actor
from apps.core.events import publish
from apps.core.tenancy import tenant

NAMED = 50  # sign-ins that one entry of the trail names
BATCH = 500
KEPT = timedelta(days=30)  # after its end
FACTORS = frozenset({"totp", "webauthn"})  # codes for recovery only stand in for one
BY_TIME = frozenset({EndOfAccess.SESSION_IDLE, EndOfAccess.SESSION_EXPIRED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """How a person proved who they are, and from where."""

    method: SignIn.Method = SignIn.Method.PASSWORD
    provider: IdentityProvider | None = None
    sub: str = ""
    sid: str = ""
    second_factor: str = ""
    authenticated_at: datetime | None = None
    address: str = ""
    agent: str = ""
    role: str = ""  # in the provider's organisation
    steps: Mapping[str, Value] = field(default_factory=dict)  # waymarks


def begin_sign_in(
    *,
    actor: Actor,
    user: User,
    session_key: str,
    proof: Proof,
    now: datetime | None = None,
) -> SignIn:
    """Keep that a person signed in. Without this row their session counts for nothing."""
    now = now or timezone.now()
    row = SignIn.objects.create(
        user=user,
        session_key=session_key,
        method=proof.method,
        provider=proof.provider,
        sub=proof.sub,
        sid=proof.sid,
        second_factor=proof.second_factor,
        stamp=validity.stamp_of(user),
        authenticated_at=proof.authenticated_at,
        signed_in_at=now,
        seen_at=now,
        ends_at=now + validity.lifetime_at_sign_in(user).whole,
        address=proof.address or None,
        agent=proof.agent[:200],
    )
    _record(
        Act.SIGNED_IN,
        actor=actor,
        organisation_id=home(row),
        target=f"signin:{row.pk}",
        method=str(proof.method),
        provider=proof.provider.provider_id if proof.provider else "",
        second_factor=proof.second_factor,
        **_way(proof),
    )
    return row


def _way(proof: Proof) -> dict[str, Value]:
    """How somebody came in through a provider, as far as it was kept."""
    if proof.provider is None:
        return {}
    return {"role": proof.role, "steps": dict(proof.steps)}


def note_session_use(*, session_keys: Collection[str], now: datetime) -> None:
    """Remember that these sessions are used; a later moment is never replaced by an earlier one."""
    SignIn.objects.filter(
        session_key__in=session_keys, ended_at__isnull=True, seen_at__lt=now
    ).update(seen_at=now)


def follow_session(*, before: str, session_key: str) -> None:
    """The same session goes on under another key."""
    SignIn.objects.filter(session_key=before, ended_at__isnull=True).update(
        session_key=session_key
    )


def continue_sign_in(*, sign_in: SignIn, session_key: str, user: User) -> None:
    """The session in which the password was changed lasts on, under the new one.

    What somebody else ended meanwhile stays ended.
    """
    by_change = Q(end_reason=EndOfAccess.PASSWORD_CHANGED.value)
    rows = SignIn.objects.filter(Q(ended_at__isnull=True) | by_change, pk=sign_in.pk)
    rows.update(
        session_key=session_key,
        stamp=validity.stamp_of(user),
        ended_at=None,
        end_reason="",
    )


def confirm_sign_in(
    *,
    actor: Actor,
    sign_in: SignIn,
    authenticated_at: datetime,
    second_factor: str = "",
) -> None:
    """Keep that somebody signed in proved again who they are."""
    factor = second_factor or sign_in.second_factor
    SignIn.objects.filter(pk=sign_in.pk).update(
        authenticated_at=authenticated_at, second_factor=factor
    )
    sign_in.authenticated_at, sign_in.second_factor = authenticated_at, factor
    _record(
        Act.STEPPED_UP,
        actor=actor,
        organisation_id=home(sign_in),
        target=f"signin:{sign_in.pk}",
        second_factor=second_factor,
    )


def change_second_factor(
    *,
    actor: Actor,
    user: User,
    sign_in: SignIn | None,
    change: str,
    kind: str,
    left: Collection[str],
) -> None:
    """A second factor came or went: sessions elsewhere end, and this one has what is left."""
    others = [row for row in _open(user) if sign_in is None or row.pk != sign_in.pk]
    end_sign_ins(
        actor=actor, rows=others, why=EndOfAccess.SECOND_FACTOR_CHANGED, told=True
    )
    if sign_in is not None:
        _adjust_factor(sign_in, kind if change == "added" else "", left)
    _record(
        Act.SECOND_FACTOR_CHANGED,
        actor=actor,
        organisation_id=validity.home_of(user.pk),
        target=f"user:{user.pk}",
        change=change,
        kind=kind,
        sessions_ended=len(others),
    )


def _adjust_factor(sign_in: SignIn, proved: str, left: Collection[str]) -> None:
    """Setting one up proves it; one that is gone proves nothing any more."""
    factor = sign_in.second_factor if sign_in.second_factor in left else ""
    if proved in FACTORS:
        factor = proved
    SignIn.objects.filter(pk=sign_in.pk).update(second_factor=factor)
    sign_in.second_factor = factor


@transaction.atomic  # a saved password comes here without one
def end_sign_ins(
    *,
    actor: Actor,
    rows: Collection[SignIn],
    why: EndOfAccess,
    organisation_id: UUID | None = None,
    told: bool = False,
    now: datetime | None = None,
) -> int:
    """End these sessions of one person: at once over HTTP, within seconds on open sockets.

    `told`: the caller writes its own entry. What ends by the clock is nobody's act and has none.
    """
    rows = _still_open(rows)
    if not rows:
        return 0
    close(rows=rows, why=why, now=now)
    publish(AccessEnded(user_id=rows[0].user_id, organisation_id=None, why=why))
    if not told and why not in BY_TIME:
        _record(
            Act.SIGNED_OUT if why is EndOfAccess.LOGGED_OUT else Act.SESSION_ENDED,
            actor=actor,
            organisation_id=organisation_id or home(rows[0]),
            target=f"user:{rows[0].user_id}",
            why=why.value,
            count=len(rows),
            sign_ins=[str(row.pk) for row in rows[:NAMED]],
        )
    return len(rows)


def _still_open(rows: Collection[SignIn]) -> list[SignIn]:
    """Those that nobody ended since they were read: each end is told once."""
    given = SignIn.objects.filter(pk__in=[row.pk for row in rows], ended_at=None)
    locked = given.select_for_update().order_by("pk")
    still = set(locked.values_list("pk", flat=True))
    return [row for row in rows if row.pk in still]


def end_outdated(*, actor: Actor, user: User) -> int:
    """End the sessions that began under another password than the present one."""
    outdated = [row for row in _open(user) if not validity.is_stamp_of(user, row.stamp)]
    return end_sign_ins(actor=actor, rows=outdated, why=EndOfAccess.PASSWORD_CHANGED)


def end_what_stood_on(*, actor: Actor, event: AccessEnded) -> int:
    """End the sessions that have lost their ground: all, or those through one organisation's provider.

    Whoever belongs nowhere any more keeps none. What rang the bell is on record already.
    """
    user = User.objects.filter(pk=event.user_id).first()
    rows = _open(user) if user is not None else []
    place = event.organisation_id
    if place is not None and validity.home_of(event.user_id) is not None:
        rows = [
            row
            for row in rows
            if row.provider is not None and row.provider.organisation_id == place
        ]
    if rows:
        close(rows=rows, why=event.why)
    return len(rows)


def close(
    *, rows: Collection[SignIn], why: EndOfAccess, now: datetime | None = None
) -> None:
    """Mark sign-ins ended and delete their sessions. Says nothing to anybody: see `end_sign_ins`."""
    SignIn.objects.filter(
        pk__in=[row.pk for row in rows], ended_at__isnull=True
    ).update(ended_at=now or timezone.now(), end_reason=why.value)
    Session.objects.filter(session_key__in=[row.session_key for row in rows]).delete()


def sweep_sign_ins(*, now: datetime | None = None) -> int:
    """Close what outlived its end, and forget what ended long ago; at most one batch of each."""
    now = now or timezone.now()
    late = list(SignIn.objects.filter(ended_at__isnull=True, ends_at__lte=now)[:BATCH])
    close(rows=late, why=EndOfAccess.SESSION_EXPIRED, now=now)
    old = SignIn.objects.filter(ended_at__lt=now - KEPT).values_list("pk", flat=True)
    forgotten, _ = SignIn.objects.filter(pk__in=list(old[:BATCH])).delete()
    stale = Session.objects.filter(expire_date__lt=now).values_list("pk", flat=True)
    Session.objects.filter(pk__in=list(stale[:BATCH])).delete()
    return len(late) + forgotten


def home(row: SignIn) -> UUID | None:
    """In whose trail a sign-in is told: the provider's organisation, else the person's first."""
    if row.provider is not None:
        return row.provider.organisation_id
    return validity.home_of(row.user_id)


def actor_of(user: User) -> Actor:
    """A person who acts for themselves."""
    kind = Actor.staff if user.is_staff else Actor.user
    return kind(user.pk, user.email)


def _open(user: User) -> list[SignIn]:
    with validity.SCOPE:  # whoever acts may see no providers of other organisations
        rows = SignIn.objects.select_related("provider").filter(
            user=user, ended_at__isnull=True
        )
        return list(rows)


def _record(
    act: Act,
    *,
    actor: Actor,
    organisation_id: UUID | None,
    target: str,
    **details: Any,
) -> None:
    with tenant(organisation_id or trail.PLATFORM):  # whoever acts may work elsewhere
        trail.record(
            act,
            actor=actor,
            organisation_id=organisation_id,
            target=target,
            **details,
        )
