"""What the pages of support access share: who acts, what they may, how a refusal goes on record."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar
from uuid import UUID

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponseBase
from django.template.response import TemplateResponse
from django.urls import reverse

from apps.accounts.models import Organisation, User
from apps.accounts.sessions import stepup
from apps.audits import grants
from apps.audits.acts import Act
from apps.audits.models import AccessGrant
from apps.audits.readings import Subject
from apps.chat.models import Thread
from apps.core.actors import Actor
from apps.core.database import write_now
from apps.core.errors import NotAllowedError
from apps.core.tenancy import Scope, tenant
from apps.executions.models import Execution
from apps.issues import queries as issues
from apps.ops import content

Result = TypeVar("Result")
READING = 30  # minutes for which a proof is enough to read; asking and approving want a newer one
AGAIN = "That it is you is confirmed first; then press the button again."
ASK, DECIDE, REVIEW = (
    f"audits.{verb}_accessgrant" for verb in ("request", "decide", "review")
)


def fresh(request: HttpRequest, minutes: int = stepup.MINUTES) -> bool:
    """Whether the person proved who they are in the last minutes. The one place that asks."""
    return stepup.stepped_up(request, minutes)


def prove(request: HttpRequest, following: str) -> HttpResponseBase:
    """To the page that asks who they are, and from there on to `following`."""
    return stepup.step_up(request, following)


def demand(request: HttpRequest, permission: str, words: str) -> None:
    if not request.user.has_perm(permission):
        raise PermissionDenied(words)


def actor(request: HttpRequest) -> Actor:
    assert isinstance(request.user, User), "the admin lets only signed-in staff in"
    return Actor.staff(request.user.pk, request.user.email)


def tried(
    act: Act,
    organisation_id: UUID,
    target: str,
    actor: Actor,
    work: Callable[[], Result],
) -> Result:
    """Run `work` as a unit; what is refused for reasons of security goes on record by itself."""
    scope = own_scope(organisation_id, actor)
    try:
        return write_now(scope, work)
    except NotAllowedError as error:
        told = error
        write_now(
            scope,
            lambda: grants.record_refusal(
                act, told, actor=actor, organisation_id=organisation_id, target=target
            ),
        )
        raise


def own_scope(organisation_id: UUID, actor: Actor) -> Scope:
    """Grants and their trail are written as rows of the organisation that they concern."""
    return tenant(organisation_id, actor.id)


def demanded(organisation: Organisation) -> AccessGrant.Consent:
    """Whose consent the organisation demands."""
    asks, consent = organisation.grants_need_consent, AccessGrant.Consent
    return consent.CUSTOMER if asks else consent.SECOND_PERSON


def asks_customer(row: AccessGrant, organisation: Organisation) -> bool:
    """Whether an owner answers: the organisation demands it today, or did when it was asked."""
    customer = AccessGrant.Consent.CUSTOMER
    return customer in {row.consent, demanded(organisation)}


def found(kind: str, object_id: UUID) -> tuple[Subject, str]:
    """The record, and the number of its issue where it has one. 404 for what is not there."""
    if kind == "execution":
        execution = Execution.objects.filter(pk=object_id).first()
        if execution is not None:
            issue = issues.issue_of(execution.pk)
            return content.subject_of(execution), f"#{issue.number}" if issue else ""
    if kind == "thread":
        rows = Thread.objects.filter(pk=object_id)
        if found := rows.values_list("organisation_id", flat=True).first():
            return Subject(organisation_id=found, thread_id=object_id), ""
    raise Http404("There is no such record.")


def page(request: HttpRequest, template: str, **context: object) -> TemplateResponse:
    request.current_app = admin.site.name
    return TemplateResponse(
        request,
        f"admin/support/{template}",
        {**admin.site.each_context(request), "opts": AccessGrant._meta, **context},
    )


def grant_url(grant_id: UUID) -> str:
    return reverse("admin:audits_accessgrant_change", args=[grant_id])


def ask_url(subject: Subject) -> str:
    kind, _, record = str(subject).partition(":")
    return reverse("admin:support_ask", args=[kind, record])


def content_url(subject: Subject) -> str:
    kind, _, record = str(subject).partition(":")
    return reverse(f"admin:support_{kind}_content", args=[record])


def record_url(subject: Subject) -> str:
    if subject.execution_id is not None:
        return reverse("admin:executions_execution_change", args=[subject.execution_id])
    return reverse("admin:chat_thread_change", args=[subject.thread_id])


def reach_url(row: AccessGrant) -> str:
    """Where what it opens can be read; empty for a whole organisation."""
    if row.reach_id is None:
        return ""
    return reverse(f"admin:support_{row.reach}_content", args=[row.reach_id])
