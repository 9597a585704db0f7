"""The test login: the ordinary way to a provider and back, which ends in a report and never in a session.

What the report says is told by preview. Written is one entry of the trail, and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

from allauth.account.internal.decorators import login_not_required
from allauth.socialaccount.adapter import get_adapter
from allauth.socialaccount.internal import statekit
from allauth.socialaccount.models import SocialApp, SocialLogin, SocialToken
from django.http import HttpRequest, HttpResponseBase
from django.shortcuts import redirect
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET

from apps.accounts import actions
from apps.accounts.admission import SignInRefusedError
from apps.accounts.doctor import preview
from apps.accounts.doctor.preview import Report
from apps.accounts.models import IdentityProvider, User
from apps.accounts.oidc import errors, views
from apps.accounts.oidc.provider import Adapter, Provider
from apps.accounts.sessions import stepup
from apps.core.actors import Actor
from apps.core.database import retrying, write_now
from apps.core.errors import NotFoundError
from apps.core.tenancy import tenant

PERMISSION = "accounts.change_identityprovider"
PAGE = "admin:accounts_identityprovider_rehearsal"
KEPT = "netra_rehearsal"  # in the session of whoever tests: the last report, redacted
KEPT_FOR = timedelta(minutes=10)


class VerifiedError(Exception):
    """Carries a verified answer out of allauth's way before that looks up, links or signs in anybody."""

    def __init__(self, login: SocialLogin) -> None:
        super().__init__()
        self.login = login


class RehearsingAdapter(Adapter):
    """The ordinary way to one provider, up to the point where the answer is verified."""

    def complete_login(
        self, request: HttpRequest, app: SocialApp, token: SocialToken, **told: Any
    ) -> SocialLogin:
        raise VerifiedError(super().complete_login(request, app, token, **told))


class RehearsalView(views.CallbackView):
    """Takes the answers to test logins, and no others."""

    rehearses = True

    def _stopped(self, request: HttpRequest) -> HttpResponseBase:
        raise errors.ProviderSaysNoError(
            self.adapter.row, error=request.GET["error"][:64]
        )


def may_test(request: HttpRequest) -> bool:
    """Whether this person may test providers: staff who may change them."""
    user = request.user
    return bool(user.is_active and user.is_staff and user.has_perm(PERMISSION))


def begin(request: HttpRequest, row: IdentityProvider) -> HttpResponseBase:
    """Lead to the provider as a sign-in does, from the session of whoever just stepped up."""
    own = stepup.present(request)
    if own is None:
        raise stepup.StepUpNeededError
    try:
        provider: Provider = get_adapter(request).get_provider(request, row.provider_id)
        response: HttpResponseBase = provider.redirect(
            request,
            process="redirect",
            data={views.REHEARSAL: {"sign_in": str(own.pk)}},
        )
    except SocialApp.DoesNotExist as error:
        raise NotFoundError(
            "This provider is switched off, so nobody can sign in through it.",
            fix="Switch it on, then test it.",
        ) from error
    except SignInRefusedError as error:
        return _told(request, row, preview.refused(error))
    return response


def _callback(request: HttpRequest, provider_id: str) -> HttpResponseBase:
    """The one address that a provider knows: what this very session began decides who takes the answer."""
    if not _began_here(request, provider_id):
        return views.callback(request, provider_id)
    adapter = RehearsingAdapter(request, provider_id)
    try:
        row = adapter.row
    except SocialApp.DoesNotExist:  # it was switched off in between
        return views.callback(request, provider_id)
    return _told(request, row, _report(request, adapter))


callback: Callable[[HttpRequest, str], HttpResponseBase]
callback = never_cache(require_GET(login_not_required(_callback)))


def last_report(
    request: HttpRequest, row: IdentityProvider, now: datetime
) -> dict[str, Any] | None:
    """This session's last test of this provider, while it is kept."""
    kept = request.session.get(KEPT)
    if not isinstance(kept, dict) or kept.get("provider") != str(row.pk):
        return None
    at = parse_datetime(str(kept.get("at")))
    if at is None or now - at > KEPT_FOR:
        del request.session[KEPT]
        return None
    return {**kept["report"], "at": at}


def _began_here(request: HttpRequest, provider_id: str) -> bool:
    """Only looks: the state is taken by whoever answers, and can be taken once."""
    stashed = statekit.get_states(request).get(request.GET.get("state", ""))
    if stashed is None or len(stashed) != 3 or stashed[2] != provider_id:
        return False
    if not views.is_rehearsal(stashed[0]):
        return False
    own = stepup.present(request)
    begun_by = stashed[0]["data"][views.REHEARSAL].get("sign_in")
    return own is not None and str(own.pk) == begun_by and may_test(request)


def _report(request: HttpRequest, adapter: RehearsingAdapter) -> Report:
    try:
        RehearsalView.adapter_view(adapter)(request)
    except VerifiedError as verified:
        return preview.of(adapter.row, verified.login)
    except SignInRefusedError as error:
        return preview.refused(error)
    # allauth turned what the provider said into a page of its own.
    return preview.refused(errors.TokenMissingError(adapter.row))


def _told(
    request: HttpRequest, row: IdentityProvider, report: Report
) -> HttpResponseBase:
    """Put on record that it was tested, keep the report for its page, and lead there."""
    assert isinstance(request.user, User)
    actor = Actor.staff(request.user.pk, request.user.email)
    retrying(
        lambda: write_now(
            tenant(row.organisation_id),
            lambda: actions.record_provider_test(
                actor=actor, provider=row, leads_to=report.lead, rule=report.rule
            ),
        )
    )
    request.session[KEPT] = {
        "provider": str(row.pk),
        "at": timezone.now().isoformat(),
        "report": asdict(report),
    }
    return redirect(PAGE, row.pk)
