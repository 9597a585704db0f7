"""What a request proves about the person who signs in with it: by what, when, from where.

Reads what allauth keeps in the session of each step that was passed. Whether that suffices is not said here.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from allauth.account.authentication import get_authentication_records
from allauth.socialaccount.models import SocialLogin
from django.http import HttpRequest

from apps.accounts import waymarks
from apps.accounts.access import provider_for
from apps.accounts.actions.sessions import Proof
from apps.accounts.admission import SignInRefusedError
from apps.accounts.models import Identity, SignIn, User
from apps.core.addresses import client_address

TOLD = (
    "netra_provider_told"  # in the session, from the provider's answer to the sign-in
)
AHEAD = timedelta(seconds=60)  # a provider's clock may be that far off
SID_LENGTH = 255


def claims_of(login: SocialLogin) -> dict[str, Any]:
    """The claims of the ID token that this answer brought; they were verified."""
    data = login.account.extra_data or {}
    claims = data.get("id_token", data)
    return claims if isinstance(claims, dict) else {}


def remember(request: HttpRequest, login: SocialLogin) -> None:
    """Keep what the provider told until the sign-in is complete: a second factor may come between."""
    claims = claims_of(login)
    sid = claims.get("sid")
    request.session[TOLD] = {
        "provider": login.account.provider,
        "sub": login.account.uid,
        "sid": sid[:SID_LENGTH] if isinstance(sid, str) else "",
        "auth_time": claims.get("auth_time"),
        "steps": waymarks.passed(request),
        "role": waymarks.role(request),
    }


def proof_of(request: HttpRequest, user: User, now: datetime) -> Proof:
    """How this request's person proved who they are. Takes what was remembered."""
    told = request.session.pop(TOLD, None)
    last = _last(request, user, "password", "socialaccount")
    factor = _last(request, user, "mfa")
    second_factor = str(factor.get("type", "")) if factor else ""
    address, agent = client_address(request), request.headers.get("User-Agent", "")
    provider = None
    if last.get("method") == "socialaccount":
        provider = provider_for(str(last.get("provider")))
        if provider is None:  # switched off meanwhile: that makes no password of it
            raise _taken_back()
    if provider is None:
        return Proof(
            second_factor=second_factor,
            authenticated_at=now,
            address=address,
            agent=agent,
        )
    sub = str(last.get("uid", ""))
    same = told and (told["provider"], told["sub"]) == (provider.provider_id, sub)
    return Proof(
        method=SignIn.Method.PROVIDER,
        provider=provider,
        sub=sub[:191],
        sid=told["sid"] if same else "",
        second_factor=second_factor,
        authenticated_at=moment(told["auth_time"], now) if same else None,
        address=address,
        agent=agent,
        role=str(told.get("role", "")) if same else "",
        steps=waymarks.kept(told.get("steps")) if same else {},
    )


def check_vouched(proof: Proof) -> None:
    """Raise where the provider's word was taken back since: a second factor may take minutes.

    Whoever suspends the identity waits for this transaction, and ends what it began.
    """
    if proof.provider is None:
        return
    known = Identity.objects.filter(
        provider=proof.provider, sub=proof.sub, status=Identity.Status.ACTIVE
    )
    if known.select_for_update(no_key=True).first() is None:
        raise _taken_back()


def _taken_back() -> SignInRefusedError:
    return SignInRefusedError(
        "Your company's sign-in was switched off for you while you signed in.",
        rule="still_vouched",
        fix="Ask an administrator of your organisation.",
    )


def moment(auth_time: object, now: datetime) -> datetime | None:
    """When somebody proved who they are at their provider; None when it does not tell, or cannot be true."""
    if isinstance(auth_time, bool) or not isinstance(auth_time, int | float):
        return None
    try:
        told = datetime.fromtimestamp(auth_time, UTC)
    except (OverflowError, OSError, ValueError):
        return None
    return min(told, now) if told <= now + AHEAD else None


def by_provider(request: HttpRequest, user: User) -> bool:
    """Whether the last step that this sign-in passed first was a provider's answer, and no password."""
    last = _last(request, user, "password", "socialaccount")
    return last.get("method") == "socialaccount"


def provider_id(request: HttpRequest, user: User) -> str:
    """The name of the provider whose answer it was; empty for a password."""
    return str(_last(request, user, "password", "socialaccount").get("provider", ""))


def _last(request: HttpRequest, user: User, *methods: str) -> Mapping[str, Any]:
    steps: list[dict[str, Any]] = get_authentication_records(request, user)
    return next((step for step in reversed(steps) if step["method"] in methods), {})
