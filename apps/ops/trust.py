"""Support access, the customer's side: what was asked, is open and was read. Owners answer and choose here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import wraps
from typing import Concatenate, ParamSpec
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from apps.accounts.access import Principal
from apps.accounts.models import Organisation
from apps.accounts.permissions import Operation, can
from apps.audits import grants, readings
from apps.audits.acts import Act
from apps.audits.grants import SamePersonError
from apps.audits.models import AccessGrant
from apps.audits.readings import Readings
from apps.core import clock
from apps.core.actors import Actor
from apps.core.errors import NetraError, NotAllowedError
from apps.ops import actions, desk

Arguments = ParamSpec("Arguments")
Consent, Stand = AccessGrant.Consent, AccessGrant.Stand
PAST = 50
PRESENT = 500  # of what is asked or open: an owner can answer or end each of it here
VERBS = {"approve": Act.GRANT_APPROVED, "refuse": Act.GRANT_REFUSED, "end": Act.GRANT_ENDED}  # fmt: skip
DONE = {
    "approve": "Approved. Support can read it from now on, until the time is over or you end it.",
    "refuse": "Refused. Nothing was opened.",
    "end": "Ended. Support can no longer read it.",
}
CHOSEN = {
    Consent.CUSTOMER: "From now on support asks you. What is open stays open until it ends.",
    Consent.SECOND_PERSON: "From now on a second person of support agrees. "
    "What was asked of you before still waits for you.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """One grant as its organisation sees it."""

    row: AccessGrant
    stand: AccessGrant.Stand
    over_at: datetime | None
    readings: Readings
    may_approve: bool


View = Callable[Concatenate[HttpRequest, Principal, Arguments], HttpResponseBase]


def _for_those_who_see_grants(view: View[Arguments]) -> Callable[..., HttpResponseBase]:
    @wraps(view)
    def wrapped(
        request: HttpRequest, *args: Arguments.args, **kwargs: Arguments.kwargs
    ) -> HttpResponseBase:
        principal: Principal | None = getattr(request, "principal", None)
        if principal is None or not can(principal.role, Operation.SEE_GRANTS):
            raise Http404
        with principal.scope:
            return view(request, principal, *args, **kwargs)

    return login_required(wrapped)


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@_for_those_who_see_grants
def page(request: HttpRequest, principal: Principal) -> HttpResponseBase:
    """Who of support asked to read what, what is open, and what was read; POST: whose consent it needs."""
    return (_choose if request.method == "POST" else _page)(request, principal)


def _page(request: HttpRequest, principal: Principal) -> HttpResponseBase:
    now = clock.now()
    asked = _newest(readings.asked(now), PRESENT)
    opened = _newest(readings.opened(now), PRESENT)
    known = [row.pk for row in (*asked, *opened)]
    past = _newest(AccessGrant.objects.exclude(pk__in=known), PAST)
    read = readings.readings_of([*asked, *opened, *past])
    organisation = Organisation.objects.get(pk=principal.organisation_id)
    decides = can(principal.role, Operation.DECIDE_GRANTS)

    def shown(rows: list[AccessGrant]) -> list[Shown]:
        return [_shown(row, organisation, read[row.pk], now) for row in rows]

    context = {
        "principal": principal,
        "organisation": organisation,
        "decides": decides,
        "exports": can(principal.role, Operation.EXPORT_TRAIL),
        "asked": shown(asked),
        "opened": shown(opened),
        "past": shown(past),
        "past_full": len(past) == PAST,
    }
    return render(request, "ops/trust.html", context)


@never_cache
@require_POST
@_for_those_who_see_grants
def decide(
    request: HttpRequest, principal: Principal, grant_id: UUID, verb: str
) -> HttpResponseBase:
    """Approve, refuse or end one."""
    if verb not in VERBS:
        raise Http404
    if verb == "approve" and not desk.fresh(request):
        messages.info(request, desk.AGAIN)
        return desk.prove(request, reverse("trust"))
    actor, place = principal.actor, principal.organisation_id
    try:
        desk.tried(VERBS[verb], place, f"grant:{grant_id}", actor,
                   lambda: _decided(principal, actor, grant_id, verb))  # fmt: skip
    except NetraError as error:
        messages.error(request, f"{error.message} {error.fix}")
    else:
        messages.success(request, DONE[verb])
    return redirect("trust")


def _decided(
    principal: Principal, actor: Actor, grant_id: UUID, verb: str
) -> AccessGrant:
    _check_decides(principal)
    if verb == "end":
        return grants.end(actor=actor, grant_id=grant_id)
    if principal.is_staff and verb == "approve":
        # Whoever works for support speaks for no customer, whatever their place there.
        raise SamePersonError("You belong to support yourself.")
    if verb == "refuse":
        return grants.refuse(actor=actor, grant_id=grant_id)
    organisation = Organisation.objects.get(pk=principal.organisation_id)
    return grants.approve(
        actor=actor, grant_id=grant_id, consent=desk.demanded(organisation)
    )


def _choose(request: HttpRequest, principal: Principal) -> HttpResponseBase:
    try:
        consent = Consent(request.POST.get("consent", ""))
    except ValueError:
        raise Http404 from None
    if not desk.fresh(request):
        messages.info(request, desk.AGAIN)
        return desk.prove(request, reverse("trust"))
    place = principal.organisation_id
    try:
        desk.tried(Act.ORGANISATION_CHANGED, place, f"organisation:{place}",
                   principal.actor, lambda: _chosen(principal, consent))  # fmt: skip
    except NetraError as error:
        messages.error(request, f"{error.message} {error.fix}")
    else:
        messages.success(request, CHOSEN[consent])
    return redirect("trust")


def _chosen(principal: Principal, consent: AccessGrant.Consent) -> None:
    _check_decides(principal)
    if principal.is_staff:
        raise SamePersonError("You belong to support yourself.")
    actions.choose_consent(
        actor=principal.actor,
        organisation_id=principal.organisation_id,
        consent=consent,
    )


def _check_decides(principal: Principal) -> None:
    if not can(principal.role, Operation.DECIDE_GRANTS):
        raise NotAllowedError("Owners decide about support access.")


def _newest(rows: QuerySet[AccessGrant], most: int) -> list[AccessGrant]:
    return list(rows.order_by("-requested_at")[:most])


def _shown(
    row: AccessGrant, organisation: Organisation, read: Readings, now: datetime
) -> Shown:
    stand = row.stand(now)
    return Shown(
        row=row,
        stand=stand,
        over_at=row.over_at(now),
        readings=read,
        may_approve=stand is Stand.ASKED and desk.asks_customer(row, organisation),
    )
