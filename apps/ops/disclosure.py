"""Content for staff: pages that show it under a live grant, each look on record before it is shown."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.http import Http404, HttpRequest, HttpResponseBase
from django.template.response import TemplateResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from apps.accounts.models import Organisation
from apps.audits import grants, readings
from apps.audits.acts import Act
from apps.audits.models import AccessGrant
from apps.audits.readings import Subject
from apps.core.tenancy import Scope
from apps.ops import content, desk, inspection


@never_cache
@require_safe
def execution_content(request: HttpRequest, object_id: UUID) -> HttpResponseBase:
    """What one execution was given, gave and did, in words: one entry of the trail for each look."""
    desk.demand(request, desk.ASK, "Your role may not read content.")
    execution = inspection.find(str(object_id))
    if execution is None:
        raise Http404("There is no such execution.")
    if not desk.fresh(request, desk.READING):
        return desk.prove(request, request.get_full_path())
    subject = content.subject_of(execution)
    scope = _begin(request, subject, content.EXECUTION_FIELDS)
    with scope:
        said = content.of_execution(execution)
    return _content_page(request, "execution_content.html", subject, scope, said)


@never_cache
@require_safe
def thread_content(request: HttpRequest, object_id: UUID) -> HttpResponseBase:
    """A conversation in words: one entry of the trail, with the ids of its messages."""
    desk.demand(request, desk.ASK, "Your role may not read content.")
    subject, _ = desk.found("thread", object_id)
    if not desk.fresh(request, desk.READING):
        return desk.prove(request, request.get_full_path())
    shown = content.newest_messages(subject)
    scope = _begin(request, subject, content.THREAD_FIELDS, shown)
    with scope:
        said = content.of_thread(subject, shown)
    return _content_page(request, "thread_content.html", subject, scope, said)


def _begin(
    request: HttpRequest,
    subject: Subject,
    fields: tuple[str, ...],
    ids: list[UUID] | None = None,
) -> Scope:
    """The reading is on record, and that is committed, before anything is read."""
    actor = desk.actor(request)
    return desk.tried(
        Act.CONTENT_READ,
        subject.organisation_id,
        str(subject),
        actor,
        lambda: grants.begin_reading(
            actor=actor, subject=subject, fields=fields, ids=ids or ()
        ),
    )


def _content_page(
    request: HttpRequest, template: str, subject: Subject, scope: Scope, said: object
) -> TemplateResponse:
    assert scope.grant is not None, "begin_reading gives the scope of a grant"
    return desk.page(
        request,
        template,
        title="What was said",
        subject=subject,
        grant=AccessGrant.objects.get(pk=scope.grant.grant_id),
        organisation=Organisation.objects.get(pk=subject.organisation_id),
        back=desk.record_url(subject),
        said=said,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """How a person of support stands to a record: their open grant or request, and where to go."""

    may_ask: bool
    grant: AccessGrant | None
    waiting: AccessGrant | None
    grant_url: str
    ask_url: str
    content_url: str


def access_of(request: HttpRequest, subject: Subject, now: datetime) -> Access:
    """For the pages of a record: what they may do about what was said."""
    may_ask, actor = request.user.has_perm(desk.ASK), desk.actor(request)
    row = waiting = None
    if may_ask and actor.id is not None:
        row = readings.open_for(actor.id, subject, now=now)
        waiting = None if row else readings.asked_for(actor.id, subject, now)
    own = row or waiting
    return Access(
        may_ask=may_ask,
        grant=row,
        waiting=waiting,
        grant_url=desk.grant_url(own.pk) if own else "",
        ask_url=desk.ask_url(subject),
        content_url=desk.content_url(subject),
    )
