"""Support access, the staff's side: ask, answer, end, review. The pages that show content: disclosure."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django import forms
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponseBase
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import (
    require_http_methods,
    require_POST,
    require_safe,
)

from apps.accounts.models import Organisation
from apps.accounts.sessions import stepup
from apps.audits import grants, readings
from apps.audits.acts import Act
from apps.audits.grants import Wish
from apps.audits.models import AccessGrant
from apps.audits.readings import Subject
from apps.core import clock
from apps.core.actors import Actor
from apps.core.database import write_now
from apps.core.errors import NetraError
from apps.ops import desk

Consent, Reach, Stand = AccessGrant.Consent, AccessGrant.Reach, AccessGrant.Stand
FILLING = 20  # minutes that somebody may take to fill in the form
REFUSALS = {"approve": Act.GRANT_APPROVED, "refuse": Act.GRANT_REFUSED,
            "end": Act.GRANT_ENDED, "review": Act.GRANT_REVIEWED}  # fmt: skip
DONE = {
    "approve": "Approved: it is open from now on.",
    "refuse": "Refused.",
    "end": "Ended: what it opened is hidden again.",
    "review": "Reviewed. Thank you.",
}


class AskForm(forms.Form):
    """Why, for which ticket, how far and how long."""

    reach = forms.ChoiceField(label="What must you read?", widget=forms.RadioSelect)
    reason = forms.ChoiceField(label="Reason", choices=AccessGrant.Reason.choices)
    ticket = forms.CharField(
        label="Ticket or issue", max_length=grants.TICKET, help_text="For example #12."
    )
    explanation = forms.CharField(
        label="Explanation",
        widget=forms.Textarea(attrs={"rows": 3}),
        min_length=grants.EXPLANATION[0],
        max_length=grants.EXPLANATION[-1],
        help_text=f"At least {grants.EXPLANATION[0]} characters. The customer reads this.",
    )
    minutes = forms.IntegerField(
        label="Minutes, counted from the approval",
        min_value=grants.MINUTES[0],
        max_value=grants.MINUTES[-1],
        initial=60,
    )

    def __init__(self, *args: Any, subject: Subject, **options: Any) -> None:
        super().__init__(*args, **options)
        reach: Any = self.fields["reach"]
        reach.choices = [
            *([(Reach.EXECUTION, "This execution, and what was said before it")]
              if subject.execution_id else []),
            (Reach.THREAD, "This conversation"),
            (Reach.ORGANISATION, "Everything of this organisation"),
        ]  # fmt: skip
        reach.initial = reach.choices[0][0]


# -- asking --------------------------------------------------------------------------------


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def ask(request: HttpRequest, kind: str, object_id: UUID) -> HttpResponseBase:
    """The form that asks for a grant. Who has one already is led to what it opens."""
    desk.demand(request, desk.ASK, "Your role may not ask to read content.")
    subject, ticket = desk.found(kind, object_id)
    actor = desk.actor(request)
    assert actor.id is not None, "staff have ids"
    if readings.open_for(actor.id, subject) is not None:
        return redirect(desk.content_url(subject))
    # Before the form is filled in, so that nothing which was written is lost.
    if not desk.fresh(request, FILLING if request.method == "POST" else stepup.MINUTES):
        return desk.prove(request, request.path)
    form = AskForm(request.POST or None, subject=subject, initial={"ticket": ticket})
    organisation = Organisation.objects.get(pk=subject.organisation_id)
    if form.is_valid():
        row = _asked(form, subject, actor, organisation)
        if row is not None:
            messages.success(request, _waits_for(row, organisation))
            return redirect(desk.grant_url(row.pk))
    return desk.page(
        request,
        "ask.html",
        title="Ask to read content",
        form=form,
        organisation=organisation,
        subject=subject,
        consent=Consent(desk.demanded(organisation)).label,
        back=desk.record_url(subject),
    )


def _asked(
    form: AskForm, subject: Subject, actor: Actor, organisation: Organisation
) -> AccessGrant | None:
    """The request, stored; None where the form now says what is wrong with it."""
    given = form.cleaned_data
    reach = Reach(given["reach"])
    wish = Wish(
        organisation_id=subject.organisation_id,
        reach=reach,
        reach_id={
            Reach.EXECUTION: subject.execution_id,
            Reach.THREAD: subject.thread_id,
            Reach.ORGANISATION: None,
        }[reach],
        reason=AccessGrant.Reason(given["reason"]),
        explanation=given["explanation"],
        ticket=given["ticket"],
        minutes=given["minutes"],
    )
    try:
        return write_now(
            desk.own_scope(subject.organisation_id, actor),
            lambda: grants.ask(
                actor=actor, wish=wish, consent=desk.demanded(organisation)
            ),
        )
    except NetraError as error:
        field = error.field if error.field in form.fields else None
        form.add_error(field, f"{error.message} {error.fix}")
        return None


# -- one grant -----------------------------------------------------------------------------


@never_cache
@require_safe
def grant_page(request: HttpRequest, object_id: str) -> HttpResponseBase:
    """A grant, what was read under it, and what may be done about it now."""
    desk.demand(request, "audits.view_accessgrant", "Your role may not look at grants.")
    return _grant_page(request, _grant(object_id))


@never_cache
@require_POST
def decide(request: HttpRequest, object_id: UUID, verb: str) -> HttpResponseBase:
    """Approve, refuse, end or review it."""
    row, actor = _grant(str(object_id)), desk.actor(request)
    if verb not in REFUSALS:
        raise Http404("There is no such act.")
    own = verb == "end" and row.staff_id == actor.id
    desk.demand(
        request,
        desk.ASK if own else desk.REVIEW if verb == "review" else desk.DECIDE,
        "Your role may not do this.",
    )
    if verb == "approve" and not desk.fresh(request):
        messages.info(request, desk.AGAIN)
        return desk.prove(request, desk.grant_url(row.pk))
    try:
        desk.tried(REFUSALS[verb], row.organisation_id, f"grant:{row.pk}", actor,
               lambda: _decided(row, verb, actor, request.POST.get("note", "")))  # fmt: skip
    except NetraError as error:
        messages.error(request, f"{error.message} {error.fix}")
    else:
        messages.success(request, DONE[verb])
    return redirect(desk.grant_url(row.pk))


def _decided(row: AccessGrant, verb: str, actor: Actor, note: str) -> AccessGrant:
    if verb == "approve":
        organisation = Organisation.objects.get(pk=row.organisation_id)
        consent = desk.demanded(organisation)
        return grants.approve(actor=actor, grant_id=row.pk, consent=consent)
    if verb == "review":
        return grants.review(actor=actor, grant_id=row.pk, note=note)
    act = grants.refuse if verb == "refuse" else grants.end
    return act(actor=actor, grant_id=row.pk)


def _grant_page(request: HttpRequest, row: AccessGrant) -> TemplateResponse:
    now, user = clock.now(), request.user
    stand, own = row.stand(now), row.staff_id == user.pk
    may_decide = user.has_perm(desk.DECIDE)
    organisation = Organisation.objects.get(pk=row.organisation_id)
    by_staff = not desk.asks_customer(row, organisation)
    return desk.page(
        request,
        "grant.html",
        title=f"Support access: {row.ticket}",
        grant=row,
        stand=stand,
        over_at=row.over_at(now),
        organisation=organisation,
        read=readings.readings_of([row])[row.pk],
        read_url=desk.reach_url(row),
        own=own,
        waits_for=_waits_for(row, organisation) if stand is Stand.ASKED else "",
        may_answer=stand is Stand.ASKED and may_decide and not own and by_staff,
        may_end=(stand is Stand.OPEN and (own or may_decide))
        or (stand is Stand.ASKED and own),
        may_review=row.wants_review(now) and user.has_perm(desk.REVIEW) and not own,
        wants_review=row.wants_review(now),
    )


# -- inside ------------------------------------------------------------------------------


def _grant(object_id: str) -> AccessGrant:
    try:
        row = AccessGrant.objects.filter(pk=UUID(object_id)).first()
    except ValueError:
        row = None
    if row is None:
        raise Http404("There is no such grant.")
    found: AccessGrant = row
    return found


def _waits_for(row: AccessGrant, organisation: Organisation) -> str:
    if desk.asks_customer(row, organisation):
        return "It waits for an owner of the organisation, on their page of support access."
    return "It waits for a second person of support."
