"""The two doors of a company's sign-in: to its provider, and back. Every refusal is a page of ours."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, cast
from urllib.parse import urlsplit

from allauth.account.internal.decorators import login_not_required
from allauth.core import ratelimit
from allauth.socialaccount.internal import statekit
from allauth.socialaccount.models import SocialApp
from allauth.socialaccount.providers.oauth2.views import (
    OAuth2CallbackView,
    OAuth2LoginView,
)
from csp.decorators import csp_update
from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods

from apps.accounts import refusals, waymarks
from apps.accounts.admission import SignInRefusedError
from apps.accounts.models import IdentityProvider
from apps.accounts.oidc import errors
from apps.accounts.oidc.provider import Adapter, Provider
from apps.accounts.waymarks import Step

STOPPED, STOPPED_PAGE = "access_denied", "socialaccount_login_cancelled"
LONGEST_CODE = 4096
REHEARSAL = "rehearsal"  # in the state of a test login
Door = Callable[[HttpRequest, Adapter], HttpResponseBase]


class CallbackView(OAuth2CallbackView):  # type: ignore[misc]  # allauth ships no types
    """From the provider's answer to a session, or to a named refusal.

    Before allauth exchanges the code, everything that the browser brought is checked.
    """

    adapter: Adapter
    rehearses = False  # what was begun as a test is taken by the doctor's view only

    def _get_state(
        self, request: HttpRequest, provider: Provider
    ) -> tuple[dict[str, Any] | None, HttpResponseBase | None]:
        if request.GET.get("error") == STOPPED and "state" not in request.GET:
            return None, redirect(STOPPED_PAGE)  # some forget it; nothing has happened
        state = self._begun(request, provider)
        self._check_issuer(request)
        if "error" in request.GET:
            return None, self._stopped(request)
        if not 0 < len(request.GET.get("code", "")) <= LONGEST_CODE:
            raise errors.CodeRefusedError(self.adapter.row, reason="no code")
        return state, None

    def _begun(self, request: HttpRequest, provider: Provider) -> dict[str, Any]:
        """What this browser began at this provider, and can end once."""
        state: dict[str, Any] | None = statekit.unstash_state(
            request,
            provider_id=provider.sub_id,
            state_id=request.GET.get("state", ""),
        )
        if state is None or is_rehearsal(state) != self.rehearses:
            raise errors.StateUnknownError(self.adapter.row)
        self.adapter.nonce = state.get("nonce", "")
        if "sent" in state:
            waymarks.mark(request, Step.SENT, at=state["sent"])
        waymarks.mark(request, Step.RETURNED)
        return state

    def _check_issuer(self, request: HttpRequest) -> None:
        """RFC 9207: or one provider's answer could be handed to another."""
        told = request.GET.getlist("iss")
        expected = [self.adapter.metadata.issuer]
        if (told or self.adapter.metadata.names_itself) and told != expected:
            raise errors.AnswerIssuerError(self.adapter.row, told=" ".join(told)[:200])

    def _stopped(self, request: HttpRequest) -> HttpResponseBase:
        said = request.GET["error"]
        if said == STOPPED:
            return redirect(STOPPED_PAGE)
        raise errors.ProviderSaysNoError(self.adapter.row, error=said[:64])


def is_rehearsal(state: Mapping[str, Any]) -> bool:
    """Whether this was begun as a test login: what it brings back never becomes a session."""
    return REHEARSAL in (state.get("data") or {})


def _door(work: Door) -> Callable[[HttpRequest, str], HttpResponseBase]:
    @wraps(work)
    def door(request: HttpRequest, provider_id: str) -> HttpResponseBase:
        adapter = Adapter(request, provider_id)
        waymarks.passed(request)
        try:
            return work(request, adapter)
        except SocialApp.DoesNotExist as error:
            raise Http404 from error
        except SignInRefusedError as error:
            return refusals.sign_in_refused(
                request, adapter.row, error, rule=error.rule
            )

    open_to_strangers: Callable[[HttpRequest, str], HttpResponseBase]
    open_to_strangers = login_not_required(door)
    return open_to_strangers


def ways_out(row: IdentityProvider) -> list[str]:
    """Where a page with the button that leads to this provider may send its form.

    A provider may lead on through several hosts of its own, and form-action counts them all.
    The page has one button, whose target is ours, and no field.
    """
    targets = ["https:"]
    if not settings.PRODUCTION:
        there = urlsplit(row.issuer)
        targets.append(f"{there.scheme}://{there.netloc}")
    return targets


@never_cache
@require_http_methods(["GET", "POST"])  # a HEAD would begin, unasked
@_door
def login(request: HttpRequest, adapter: Adapter) -> HttpResponse:
    """Ask once more (GET), then go to the provider (POST), each address so often a minute."""
    if request.method == "POST":
        limited: HttpResponse | None = ratelimit.consume_or_429(
            request, action="provider"
        )
        if limited is not None:
            return limited
    response: HttpResponse = OAuth2LoginView.adapter_view(adapter)(request)
    leave_to = csp_update({"form-action": ways_out(adapter.row)})
    return cast("HttpResponse", leave_to(lambda _: response)(request))


@never_cache
@require_GET
@_door
def callback(request: HttpRequest, adapter: Adapter) -> HttpResponse:
    """Where the provider sends people back to."""
    response: HttpResponse = CallbackView.adapter_view(adapter)(request)
    return response
