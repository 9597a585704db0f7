"""Confirming that it is you: what is sensitive asks that a person proved who they are just now.

`stepped_up` asks, `step_up` leads there, `fresh_sign_in` guards a view. People with a provider prove
it there anew; a provider that does not tell when they did has proved nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import wraps
from typing import Any
from urllib.parse import urlencode

from allauth.socialaccount.models import SocialLogin
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone
from django.utils.http import url_has_allowed_host_and_scheme

from apps.accounts import actions, validity
from apps.accounts.admission import SignInRefusedError
from apps.accounts.models import SignIn, User
from apps.accounts.sessions import evidence
from apps.core.database import write_now
from apps.core.errors import NotAllowedError

MINUTES = 5
JUST_NOW = timedelta(seconds=60)  # what counts as an answer to the question itself
MARK = {"stepup": True}
AT_PROVIDER = {"prompt": "login", "max_age": "0"}
View = Callable[..., HttpResponseBase]


class StepUpNeededError(NotAllowedError):
    """This needs that you confirm who you are, just before."""

    code = "step_up_needed"
    fix = "Do it on the page in your browser, where you are asked to confirm; a token cannot."


class StepUpRefusedError(SignInRefusedError):
    """It was not confirmed that it is you."""

    code = "step_up_refused"


def stepped_up(request: HttpRequest, minutes: int = MINUTES) -> bool:
    """Whether the person behind this request proved who they are in the last minutes."""
    row = present(request)
    if row is None or row.authenticated_at is None:
        return False
    return timezone.now() - row.authenticated_at < timedelta(minutes=minutes)


def step_up(request: HttpRequest, next_url: str) -> HttpResponse:
    """Lead to the page that asks, and from there on to `next_url`, a page of ours."""
    safe = url_has_allowed_host_and_scheme(
        next_url, {request.get_host()}, require_https=request.is_secure()
    )
    query = urlencode({"next": next_url}) if safe else ""
    return redirect(f"{reverse('account_confirm')}?{query}".rstrip("?"))


def fresh_sign_in(minutes: int = MINUTES) -> Callable[[View], View]:
    """Guard a view: whoever did not prove who they are in these minutes does so first."""

    def guard(view: View) -> View:
        @wraps(view)
        def guarded(
            request: HttpRequest, *args: Any, **kwargs: Any
        ) -> HttpResponseBase:
            if not request.user.is_authenticated or stepped_up(request, minutes):
                return view(request, *args, **kwargs)
            return step_up(request, request.get_full_path())

        return guarded

    return guard


def present(request: HttpRequest) -> SignIn | None:
    """The sign-in of this request's session; none for strangers and tokens."""
    row = getattr(request, "sign_in", None)
    return row if isinstance(row, SignIn) else None


def is_answer(login: SocialLogin) -> bool:
    """Whether a provider's answer is one to the question of `step_up`."""
    state = login.state or {}
    mark = state.get("data") or {}
    return state.get("process") == "redirect" and mark == MARK


def confirm(request: HttpRequest, login: SocialLogin) -> None:
    """Take the provider's answer: the same person, just now. Raises StepUpRefusedError."""
    row, now = present(request), timezone.now()
    if row is None or row.provider is None or not _is_same(row, login):
        raise _refused("This is not the account that you are signed in with.", "same")
    told = evidence.moment(evidence.claims_of(login).get("auth_time"), now)
    if told is None:
        raise _refused(
            f"{row.provider.name} did not say when you signed in there.",
            "auth_time_told",
            "Ask your administrator to let the provider send 'auth_time'.",
        )
    if now - told > JUST_NOW:
        raise _refused(f"{row.provider.name} did not ask you anew.", "auth_time_fresh")
    keep(request, row, at=told)


def keep(
    request: HttpRequest, row: SignIn, *, at: datetime, second_factor: str = ""
) -> None:
    """Remember that it was confirmed; the session gets another key."""
    assert isinstance(request.user, User)
    actor = actions.actor_of(request.user)
    write_now(
        validity.SCOPE,
        lambda: actions.confirm_sign_in(
            actor=actor,
            sign_in=row,
            authenticated_at=at,
            second_factor=second_factor,
        ),
    )
    request.session.cycle_key()


def _is_same(row: SignIn, login: SocialLogin) -> bool:
    assert row.provider is not None
    return (row.provider.provider_id, row.sub) == (
        login.account.provider,
        login.account.uid,
    )


def _refused(message: str, rule: str, fix: str = "") -> StepUpRefusedError:
    fix = fix or "Try again, with the account that you are signed in with here."
    return StepUpRefusedError(message, rule=f"step_up_{rule}", fix=fix)
