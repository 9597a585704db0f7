"""What a client shows to prove who it is: a bearer token or a session, read from a handshake."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from django.conf import settings
from django.http import parse_cookie
from django.utils import timezone

from apps.accounts import validity
from apps.accounts.access import (
    Principal,
    digest,
    principal_for,
    principal_from_token,
    sign_in_of,
)
from apps.accounts.models import Membership, Organisation, Token
from apps.core.errors import NotAllowedError, NotAuthenticatedError

BEARER = "bearer."
TOKEN_FORM = re.compile(r"[A-Za-z0-9_-]{8,200}")


class SecondFactorNeededError(NotAllowedError):
    """Members of Netra's staff need a second factor."""

    code = "second_factor_needed"
    fix = "Set one up under 'Second factor', or sign in through Netra's own provider."


@dataclass(frozen=True, slots=True)
class Credential:
    """A token or a session key; never logged, never shown."""

    kind: str
    secret: str = field(repr=False)

    @property
    def needs_origin(self) -> bool:
        """A cookie is sent by browsers on their own, so the origin must prove the page."""
        return self.kind == "session"


def credential_of(
    headers: Mapping[str, str], subprotocols: Sequence[str]
) -> Credential:
    """The first credential shown: header, sub-protocol, cookie. A bad one is refused, never skipped."""
    authorisation = headers.get("authorization")
    if authorisation is not None:
        scheme, _, secret = authorisation.partition(" ")
        return _token(secret.strip() if scheme.lower() == "bearer" else "")
    offered = [item for item in subprotocols if item.startswith(BEARER)]
    if offered:
        return _token(offered[0].removeprefix(BEARER))
    session_key = parse_cookie(headers.get("cookie", "")).get(
        settings.SESSION_COOKIE_NAME
    )
    if not session_key:
        raise NotAuthenticatedError
    return Credential("session", session_key)


def principal_of(credential: Credential, slug: str | None) -> Principal:
    """Who shows this credential; raises NotAuthenticatedError or NotAllowedError."""
    if credential.kind == "token":
        return principal_from_token(credential.secret, slug)
    row = sign_in_of(credential.secret)
    if validity.lacks_factor(row):
        raise SecondFactorNeededError
    return principal_for(row.user_id, slug)


def roles_of(
    held: Mapping[Credential, tuple[UUID, UUID]], now: datetime | None = None
) -> dict[Credential, str]:
    """Of the credentials in use (with organisation and user), those that hold, with their present role.

    Three queries at most, however many there are.
    """
    now = now or timezone.now()
    sessions = {c.secret for c in held if c.kind == "session"}
    digests = {digest(c.secret): c for c in held if c.kind == "token"}
    live = validity.live(sessions, now) if sessions else {}
    rows = Token.objects.filter(digest__in=digests, revoked_at__isnull=True).exclude(
        expires_at__lte=now
    )
    tokens = set(rows.values_list("digest", flat=True)) if digests else set()
    members = Membership.objects.filter(
        user__in={user for _, user in held.values()},
        user__is_active=True,
        organisation__status=Organisation.Status.ACTIVE,
    )
    roles = {
        (organisation, user): role
        for organisation, user, role in members.values_list(
            "organisation_id", "user_id", "role"
        )
    }

    def holds(credential: Credential, user_id: UUID) -> bool:
        if credential.kind == "token":
            return digest(credential.secret) in tokens
        row = live.get(credential.secret)
        if row is None or validity.lacks_factor(row):
            return False
        return row.user_id == user_id

    return {
        credential: roles[place]
        for credential, place in held.items()
        if place in roles and holds(credential, place[1])
    }


def with_a_way_in(
    places: Collection[tuple[UUID, UUID]], now: datetime | None = None
) -> set[tuple[UUID, UUID]]:
    """Of (organisation, user), those who belong there and have a live token or session."""
    now = now or timezone.now()
    people = {user_id for _, user_id in places}
    members = Membership.objects.filter(
        user__in=people,
        user__is_active=True,
        organisation__status=Organisation.Status.ACTIVE,
    )
    allowed = set(members.values_list("organisation_id", "user_id")) & set(places)
    tokens = Token.objects.filter(user__in=people, revoked_at__isnull=True)
    by_token = set(
        tokens.exclude(expires_at__lte=now).values_list("organisation_id", "user_id")
    )
    others = {user_id for _, user_id in allowed - by_token}
    signed_in = validity.live_people(others, now) if others else set()
    return {place for place in allowed if place in by_token or place[1] in signed_in}


def _token(secret: str) -> Credential:
    if not TOKEN_FORM.fullmatch(secret):
        raise NotAuthenticatedError("The token is not valid.")
    return Credential("token", secret)
