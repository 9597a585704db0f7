"""What a refused request gets at an HTTP door: a receipt, and a page or a problem (RFC 9457)."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import asdict
from http import HTTPStatus
from uuid import UUID

from django.core.cache import cache
from django.db import DatabaseError
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.template.loader import render_to_string
from django.utils import timezone

from apps.accounts import waymarks
from apps.accounts.access import Principal
from apps.accounts.models import IdentityProvider, Organisation, User
from apps.audits import receipts, trail
from apps.audits.acts import Act, Outcome
from apps.audits.receipts import Refusal
from apps.core.actors import Actor
from apps.core.database import write_now
from apps.core.errors import NetraError
from apps.core.tenancy import Scope, tenant, topic
from apps.core.transactions import is_failing

log = logging.getLogger(__name__)

# What nobody needs a receipt for: unreadable requests and strangers are only counted.
UNRECORDED = frozenset({400, 401, 405, 406, 415})
SIGN_IN = Actor.system("sign-in")
RECORDED_REFUSALS = 120  # of one provider, a minute
TITLES = {
    400: "The request cannot be read",
    401: "Not signed in",
    403: "Not allowed",
    404: "Not found",
    405: "This method is not offered here",
    406: "This form of answer is not offered here",
    409: "Not possible in the present state",
    413: "Too large",
    415: "This form of content is not understood",
    422: "A value breaks a rule",
    429: "Too many requests",
    500: "Something went wrong",
    503: "Not available right now",
}


def receipt_for(
    principal: Principal | None, error: NetraError, *, request: HttpRequest
) -> UUID | None:
    """Store what a known principal was refused, in a write of its own; None for strangers."""
    if principal is None or error.status in UNRECORDED or is_failing(error):
        return None
    refusal = Refusal.of(
        error,
        organisation_id=principal.organisation_id,
        user_id=principal.user_id,
        rule=f"{request.method} {request.path}"[:200],
        correlation_id=request.headers.get("X-Request-ID", "")[:128],
    )
    return _stored(principal.scope, refusal)


def sign_in_refused(
    request: HttpRequest, provider: IdentityProvider, error: NetraError, *, rule: str
) -> HttpResponse:
    """A refused sign-in: on record, and a page that names the record."""
    receipt_id = sign_in_receipt(request, provider, error, rule=rule)
    return page(request, error, receipt_id=receipt_id)


def sign_in_receipt(
    request: HttpRequest, provider: IdentityProvider, error: NetraError, *, rule: str
) -> UUID | None:
    """Store a refused sign-in where the provider's organisation and support can read it.

    Receipt and entry of the trail are one write, after the roll-back of what was refused.
    """
    if not _may_be_recorded(provider):
        log.warning(
            "a refused sign-in is only counted",
            extra={"action": "sign_in.refused_unrecorded", "code": error.code},
        )
        return None
    refusal = Refusal.of(
        error, organisation_id=provider.organisation_id, user_id=None, rule=rule
    )

    def unit() -> UUID:
        # Strangers share no counter: what one was refused says nothing about another.
        receipt_id = receipts.create(refusal, now=timezone.now())
        trail.record(
            Act.SIGN_IN_REFUSED,
            actor=SIGN_IN,
            organisation_id=provider.organisation_id,
            target=f"provider:{provider.pk}",
            outcome=Outcome.REFUSED,
            code=error.code,
            rule=rule,
            provider=provider.provider_id,
            asserted=str(error.values.get("asserted") or "")[:254],
            receipt=str(receipt_id),
            **waymarks.told(request),
        )
        return receipt_id

    return _stored(tenant(provider.organisation_id), refusal, unit)


def password_refused(
    request: HttpRequest, organisation: Organisation, user: User, error: NetraError
) -> HttpResponse:
    """A right password that is not taken: on record where the person belongs, and a page."""
    refusal = Refusal.of(
        error, organisation_id=organisation.pk, user_id=user.pk, rule=error.code
    )

    def unit() -> UUID:
        receipt_id = receipts.record(refusal)
        trail.record(
            Act.SIGN_IN_REFUSED,
            actor=SIGN_IN,
            organisation_id=organisation.pk,
            target=f"user:{user.pk}",
            outcome=Outcome.REFUSED,
            code=error.code,
            method="password",
            receipt=str(receipt_id),
        )
        return receipt_id

    receipt_id = _stored(tenant(organisation.pk, user.pk), refusal, unit)
    return page(request, error, receipt_id=receipt_id)


def _may_be_recorded(provider: IdentityProvider) -> bool:
    """Anybody can be refused as often as they like; each minute so many of it are written down."""
    minute = timezone.now().strftime("%H%M")
    name = topic(provider.organisation_id, "sign-in-refused", provider.pk.hex, minute)
    cache.add(name, 0, timeout=120)
    try:
        return bool(cache.incr(name) <= RECORDED_REFUSALS)
    except ValueError:  # the cache forgot it in between
        return True


def _stored(
    scope: Scope, refusal: Refusal, unit: Callable[[], UUID] | None = None
) -> UUID | None:
    try:
        return write_now(scope, unit or (lambda: receipts.record(refusal)))
    except DatabaseError:
        log.exception(
            "a receipt could not be stored",
            extra={"action": "receipt.lost", "code": refusal.code},
        )
        return None


def page(
    request: HttpRequest, error: NetraError, *, receipt_id: UUID | None = None
) -> HttpResponse:
    """The refusal as a page of our own."""
    context = {"error": error, "receipt_id": receipt_id}
    return _timed(
        render(request, "accounts/refused.html", context, status=error.status), error
    )


def bare_page(error: NetraError) -> HttpResponse:
    """The refusal as a page that asks the database nothing, for when it is the database that fails."""
    text = render_to_string("503.html", {"error": error})
    return _timed(HttpResponse(text, status=error.status), error)


def problem(error: NetraError, *, receipt_id: UUID | None = None) -> HttpResponse:
    """The refusal as application/problem+json."""
    document: dict[str, object] = {
        "type": f"urn:netra:problem:{error.code}",
        "title": TITLES.get(error.status, "Refused"),
        "status": error.status,
        "detail": error.message,
        "code": error.code,
        "fix": error.fix,
        "receipt_id": receipt_id,
    }
    if error.problems:
        document["errors"] = [asdict(each) for each in error.problems]
    response = JsonResponse(
        document, status=error.status, content_type="application/problem+json"
    )
    if error.status == HTTPStatus.UNAUTHORIZED:
        response["WWW-Authenticate"] = 'Bearer realm="netra"'
    return _timed(response, error)


def _timed(response: HttpResponse, error: NetraError) -> HttpResponse:
    if error.retry_after or error.status in {429, 503}:
        response["Retry-After"] = str(max(1, round(error.retry_after or 1)))
    return response
