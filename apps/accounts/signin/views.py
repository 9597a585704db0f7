"""The pages of signing in: the one login page, the way to one's company, the way to its provider."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from allauth.account.views import LoginView
from allauth.core import ratelimit
from django.conf import settings
from django.contrib import messages
from django.core.exceptions import NON_FIELD_ERRORS
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_POST

from apps.accounts import access
from apps.accounts.signin import provider


class SignInView(LoginView):  # type: ignore[misc]  # allauth ships no types
    """One page for everybody: company, password, and in the demo its people."""

    def form_invalid(self, form: Any) -> HttpResponseBase:
        if form.has_error(NON_FIELD_ERRORS, "too_many_login_attempts"):
            refused: HttpResponse = ratelimit.respond_429(self.request)
            return refused
        again: HttpResponseBase = super().form_invalid(form)
        return again

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        following = _following(self.request)
        return {
            **super().get_context_data(**kwargs),
            "following": following,
            "people": _demo_people(following),
            "ended": self.request.session.pop("session_ended", ""),
        }


@require_POST
def company(request: HttpRequest) -> HttpResponseBase:
    """From an address to the sign-in of its company. Every unknown address gets the same answer."""
    limited: HttpResponse | None = ratelimit.consume_or_429(request, action="company")
    if limited is not None:
        return limited
    following = _following(request)
    rows = access.providers_for_email(request.POST.get("email", ""))
    if not rows:
        messages.info(
            request,
            "No company sign-in is set up for this address. Use your password, or ask your administrator.",
        )
        return redirect(_with(reverse("account_login"), next=following))
    ways = [(row.name, _start(row.provider_id, following)) for row in rows]
    if len(ways) == 1:
        return redirect(ways[0][1])
    return render(
        request,
        "accounts/choose_provider.html",
        {"company": rows[0].organisation.name, "ways": ways},
    )


def closed(_: HttpRequest) -> HttpResponse:
    """Answer for allauth's pages that Netra does not offer: operators keep accounts and addresses."""
    raise Http404


def _following(request: HttpRequest) -> str:
    """Where the person wanted to go, when it is a page of ours."""
    url = request.POST.get("next") or request.GET.get("next") or ""
    safe = url_has_allowed_host_and_scheme(
        url, {request.get_host()}, require_https=request.is_secure()
    )
    return url if safe else ""


def _demo_people(following: str) -> list[dict[str, str]]:
    if not settings.NETRA_DEMO:
        return []
    people = []
    for email in provider.PEOPLE:
        if row := access.provider_for_email(email):
            start = _start(row.provider_id, following, login_hint=email)
            people.append(
                {"email": email, "company": row.organisation.name, "start": start}
            )
    return people


def _start(provider_id: str, following: str, **more: str) -> str:
    return _with(
        reverse("openid_connect_login", args=[provider_id]), next=following, **more
    )


def _with(path: str, **values: str) -> str:
    query = urlencode({name: value for name, value in values.items() if value})
    return f"{path}?{query}" if query else path
