"""The pages of one's own sessions: the list, ending them, confirming who one is; and a provider's notice."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import cast
from urllib.parse import urlencode
from uuid import UUID

from allauth.account.adapter import get_adapter as account_adapter
from allauth.account.views import logout
from allauth.socialaccount.adapter import get_adapter
from allauth.socialaccount.models import SocialApp
from csp.decorators import csp_update
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_GET, require_POST

from apps.accounts import access, actions, refusals, validity
from apps.accounts.admission import SignInRefusedError
from apps.accounts.events import EndOfAccess
from apps.accounts.models import SignIn, User
from apps.accounts.sessions import backchannel, farewell, stepup
from apps.accounts.sessions.browsers import named
from apps.core.database import retrying, write_now
from apps.core.errors import NotFoundError

log = logging.getLogger(__name__)


@require_GET
@never_cache
@login_required
def sessions(request: HttpRequest) -> HttpResponse:
    """Where one is signed in."""
    user, own = cast(User, request.user), stepup.present(request)
    rows = validity.live_of(user.pk, timezone.now())
    context = {
        "rows": [
            {"row": row, "own": row.pk == (own and own.pk), "device": named(row.agent)}
            for row in rows
        ],
        "others": len(rows) > 1,
        "limits": validity.lifetime_at_sign_in(user),
    }
    return render(request, "account/sessions.html", context)


@require_POST
@login_required
def end_session(request: HttpRequest, sign_in_id: UUID) -> HttpResponse:
    """End one of one's own sessions. A foreign one is not there."""
    user, now = cast(User, request.user), timezone.now()
    rows = [row for row in validity.live_of(user.pk, now) if row.pk == sign_in_id]
    if not rows:
        raise NotFoundError("There is no such session.")
    _end(user, rows)
    messages.success(request, "The session is ended.")
    return redirect("account_sessions")


@require_POST
@login_required
def end_others(request: HttpRequest) -> HttpResponse:
    """End all of one's own sessions but this one."""
    user, own = cast(User, request.user), stepup.present(request)
    rows = validity.live_of(user.pk, timezone.now())
    number = _end(user, [row for row in rows if own is None or row.pk != own.pk])
    messages.success(request, f"Ended elsewhere: {number}.")
    return redirect("account_sessions")


def _end(user: User, rows: list[SignIn]) -> int:
    actor = actions.actor_of(user)
    return retrying(
        lambda: write_now(
            validity.SCOPE,
            lambda: actions.end_sign_ins(
                actor=actor, rows=rows, why=EndOfAccess.SESSION_ENDED
            ),
        )
    )


# The form leads to the company's provider, through hosts of its own.
@never_cache
@csp_update({"form-action": ["https:"]})
@login_required
def confirm(request: HttpRequest) -> HttpResponseBase:
    """Ask whoever does something sensitive to prove that it is them: here, or at their provider."""
    following, row = _following(request), stepup.present(request)
    if row is None or row.provider is None:
        methods = account_adapter(request).get_reauthentication_methods(request.user)
        first = methods[0]["url"] if methods else reverse("account_reauthenticate")
        return redirect(f"{first}?{urlencode({'next': following})}")
    if request.method != "POST":
        context = {"provider": row.provider, "following": following}
        return render(request, "account/confirm.html", context)
    try:
        provider = get_adapter(request).get_provider(request, row.provider.provider_id)
        response: HttpResponseBase = provider.redirect(
            request,
            process="redirect",
            next_url=following,
            data=stepup.MARK,
            auth_params={**provider.get_auth_params(), **stepup.AT_PROVIDER},
        )
    except SignInRefusedError as error:
        return refusals.sign_in_refused(request, row.provider, error, rule=error.rule)
    except SocialApp.DoesNotExist:
        raise NotFoundError("Your company's sign-in is switched off.") from None
    return response


@never_cache
def sign_out(request: HttpRequest) -> HttpResponseBase:
    """Signing out, here and at one's provider where it has a way; its address is in the page's policy."""
    row = stepup.present(request)
    there = farewell.origin(row.provider) if row is not None else ""
    view: Callable[..., HttpResponseBase] = logout
    if there:
        view = csp_update({"form-action": [there]})(logout)
    return view(request)


@csrf_exempt  # a server asks, with a signed token and without a cookie
@require_POST
@never_cache
def provider_left(request: HttpRequest, provider_id: str) -> HttpResponse:
    """Where a provider tells that somebody left there."""
    provider = access.provider_for(provider_id)
    if provider is None:
        return _not_a_notice("unknown_provider")
    try:
        who = backchannel.left(
            provider, request.POST.get("logout_token", ""), time.time()
        )
    except SignInRefusedError as error:
        return _not_a_notice(error.rule)
    number = backchannel.end_sessions(provider, who)
    log.info(
        "a provider ended %d sessions",
        number,
        extra={"action": "backchannel.ended", "provider": provider.provider_id},
    )
    return HttpResponse(status=200)


def _not_a_notice(rule: str) -> HttpResponse:
    """The same answer for whatever is wrong; the log says which rule."""
    log.warning(
        "a logout token was refused: %s",
        rule,
        extra={"action": "backchannel.refused", "rule": rule},
    )
    return JsonResponse({"error": "invalid_request"}, status=400)


def _following(request: HttpRequest) -> str:
    url = request.POST.get("next") or request.GET.get("next") or ""
    safe = url_has_allowed_host_and_scheme(
        url, {request.get_host()}, require_https=request.is_secure()
    )
    return url if safe else reverse("account_sessions")
