"""A provider tells that somebody left there (OpenID Connect back-channel logout): their sessions here end.

Whether the provider really said so is checked by oidc.tokens; here what only a logout token must hold.
"""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass
from typing import Any

from django.core.cache import cache
from django.db.models import Q

from apps.accounts import actions, validity
from apps.accounts.admission import SignInRefusedError
from apps.accounts.events import EndOfAccess
from apps.accounts.models import IdentityProvider, SignIn
from apps.accounts.oidc.tokens import LOGOUT_TOKEN, read_signed
from apps.core.actors import Actor
from apps.core.database import retrying, write_now
from apps.core.tenancy import topic

log = logging.getLogger(__name__)
EVENT = "http://schemas.openid.net/event/backchannel-logout"
ONCE_SECONDS = 3600
OLDEST_SECONDS = 300  # a notice that took longer is not believed
ACTOR = Actor.system("provider")


class LogoutTokenError(SignInRefusedError):
    """This is no logout token."""

    code, status = "logout_token_refused", 400

    def __init__(self, rule: str) -> None:
        super().__init__(
            "The logout token is not valid.",
            rule=rule,
            fix="Send a logout token as OpenID Connect Back-Channel Logout has it.",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """Who left: one session of the provider's, or all of one person."""

    sub: str
    sid: str
    mark: str  # in the cache, that its notice was taken


def left(provider: IdentityProvider, token: str, now: float) -> Left:
    """Whom a logout token speaks of; raises SignInRefusedError."""
    claims = read_signed(
        provider, token, types=LOGOUT_TOKEN, required=("jti", "events")
    )
    if "nonce" in claims:
        raise LogoutTokenError("no_nonce")  # it would be an ID token
    events = claims["events"]
    if not isinstance(events, dict) or not isinstance(events.get(EVENT), dict):
        raise LogoutTokenError("event_named")
    if now - float(claims["iat"]) > OLDEST_SECONDS:
        raise LogoutTokenError("recent")
    sub, sid = _text(claims, "sub"), _text(claims, "sid")
    if not (sub or sid):
        raise LogoutTokenError("someone_named")
    mark = _take_once(provider, _text(claims, "jti"))
    return Left(sub=sub, sid=sid, mark=mark)


def end_sessions(provider: IdentityProvider, who: Left) -> int:
    """End the sessions that the provider means; returns how many."""

    def unit() -> int:
        rows = list(
            SignIn.objects.select_related("provider").filter(
                _named(who), provider=provider, ended_at__isnull=True
            )
        )
        by_person: dict[object, list[SignIn]] = {}
        for row in rows:
            by_person.setdefault(row.user_id, []).append(row)
        return sum(
            actions.end_sign_ins(
                actor=ACTOR, rows=own, why=EndOfAccess.PROVIDER_LOGGED_OUT
            )
            for own in by_person.values()
        )

    done = False
    try:
        number = retrying(lambda: write_now(validity.SCOPE, unit))
        done = True
    finally:
        if not done:
            cache.delete(who.mark)  # or the provider could not tell it again
    return number


def _named(who: Left) -> Q:
    """Which sign-ins are meant. One whose name the provider did not tell us may be any of the person's."""
    if not who.sid:
        return Q(sub=who.sub)
    if not who.sub:
        return Q(sid=who.sid)
    return Q(sub=who.sub) & (Q(sid=who.sid) | Q(sid=""))


def _text(claims: dict[str, Any], name: str) -> str:
    value = claims.get(name, "")
    if not isinstance(value, str) or len(value) > 255:
        raise LogoutTokenError(f"{name}_is_text")
    return value


def _take_once(provider: IdentityProvider, jti: str) -> str:
    mark = hashlib.sha256(jti.encode()).hexdigest()
    name = topic(provider.organisation_id, "left", provider.pk.hex, mark)
    if not jti or not cache.add(name, 1, ONCE_SECONDS):
        raise LogoutTokenError("once")
    return name
