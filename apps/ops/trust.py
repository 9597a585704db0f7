"""Support access, the customer's side: what was asked, what is open, what was read; owners answer here."""

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
from django.views.decorators.http import require_POST, require_safe

from apps.accounts.access import Principal
from apps.accounts.models import Organisation
from apps.accounts.permissions import Operation, can
from apps.audits import grants, readings
from apps.audits.acts import Act
from apps.audits.grants import SamePersonError
from apps.audits.models import AccessGrant
from apps.audits.readings import Reading
from apps.core import clock
from apps.core.actors import Actor
from apps.core.errors import NetraError, NotAllowedError
from apps.ops import desk

Arguments = ParamSpec("Arguments")
Consent, Stand = AccessGrant.Consent, AccessGrant.Stand
PAST = 50
VERBS = {"approve": Act.GRANT_APPROVED, "refuse": Act.GRANT_REFUSED, "end": Act.GRANT_ENDED}  # fmt: skip
DONE = {
    "approve": "Approved. Support can read it from now on, until the time is over or you end it.",
    "refuse": "Refused. Nothing was opened.",
    "end": "Ended. Support can no longer read it.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """One grant as its organisation sees it."""

    row: AccessGrant
    stand: AccessGrant.Stand
    over_at: datetime | None
    readings: list[Reading]
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
@require_safe
@_for_those_who_see_grants
def page(request: HttpRequest, principal: Principal) -> HttpResponseBase:
    """Who of support asked to read what, what is open, and what was read."""
    now = clock.now()
    asked, opened = _newest(readings.asked(now)), _newest(readings.opened(now))
    known = [row.pk for row in (*asked, *opened)]
    past = _newest(AccessGrant.objects.exclude(pk__in=known))
    read = readings.readings_of([*opened, *past])
    organisation = Organisation.objects.get(pk=principal.organisation_id)
    decides = can(principal.role, Operation.DECIDE_GRANTS)

    def shown(rows: list[AccessGrant]) -> list[Shown]:
        return [_shown(row, organisation, read.get(row.pk, []), now) for row in rows]

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
    if not can(principal.role, Operation.DECIDE_GRANTS):
        raise NotAllowedError("Owners decide about support access.")
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


def _newest(rows: QuerySet[AccessGrant]) -> list[AccessGrant]:
    return list(rows.order_by("-requested_at")[:PAST])


def _shown(
    row: AccessGrant, organisation: Organisation, read: list[Reading], now: datetime
) -> Shown:
    by_customer = Consent.CUSTOMER in {row.consent, desk.demanded(organisation)}
    stand = row.stand(now)
    return Shown(
        row=row,
        stand=stand,
        over_at=row.over_at(now),
        readings=read,
        may_approve=by_customer and stand is Stand.ASKED,
    )
