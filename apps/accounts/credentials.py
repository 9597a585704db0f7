"""What a client shows to prove who it is: a bearer token or a session, read from a handshake."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from django.conf import settings
from django.contrib.sessions.models import Session
from django.http import parse_cookie
from django.utils import timezone

from apps.accounts.access import (
    Principal,
    digest,
    principal_for,
    principal_from_token,
    user_from_session,
)
from apps.accounts.models import Membership, Organisation, Token
from apps.core.errors import NotAuthenticatedError

BEARER = "bearer."
TOKEN_FORM = re.compile(r"[A-Za-z0-9_-]{8,200}")


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
    return principal_for(user_from_session(credential.secret).pk, slug)


def still_valid(
    held: Mapping[Credential, tuple[UUID, UUID]], now: datetime | None = None
) -> set[Credential]:
    """Of the credentials in use (with organisation and user), those that hold: four queries at most."""
    now = now or timezone.now()
    sessions = {c.secret for c in held if c.kind == "session"}
    digests = {digest(c.secret): c for c in held if c.kind == "token"}
    live = set(
        Session.objects.filter(
            session_key__in=sessions, expire_date__gt=now
        ).values_list("session_key", flat=True)
    )
    rows = Token.objects.filter(digest__in=digests, revoked_at__isnull=True).exclude(
        expires_at__lte=now
    )
    tokens = set(rows.values_list("digest", flat=True))
    members = set(
        Membership.objects.filter(
            user__in={user for _, user in held.values()},
            user__is_active=True,
            organisation__status=Organisation.Status.ACTIVE,
        ).values_list("organisation_id", "user_id")
    )
    return {
        credential
        for credential, place in held.items()
        if place in members
        and (
            credential.secret in live
            if credential.kind == "session"
            else digest(credential.secret) in tokens
        )
    }


def _token(secret: str) -> Credential:
    if not TOKEN_FORM.fullmatch(secret):
        raise NotAuthenticatedError("The token is not valid.")
    return Credential("token", secret)
