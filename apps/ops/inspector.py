"""The page of one execution in the admin, and the fragment that keeps it up to date."""

from __future__ import annotations

import hashlib
from datetime import datetime

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import (
    Http404,
    HttpRequest,
    HttpResponse,
    HttpResponseBase,
    HttpResponseNotModified,
)
from django.shortcuts import render
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_safe

from apps.executions.models import Execution
from apps.executions.states import ALIVE, TERMINAL, TRANSITIONS, ExecutionState
from apps.ops import content, disclosure, inspection

MOVES_EVERY = 10  # seconds after which an unchanged but living page is drawn again


@require_safe
def page(request: HttpRequest, object_id: str) -> TemplateResponse:
    """The whole page."""
    execution = _execution(request, object_id)
    request.current_app = admin.site.name
    context = {
        **admin.site.each_context(request),
        **_context(request, execution, timezone.now()),
        "title": f"{execution.agent} {str(execution.pk)[:8]}",
        "is_fullwidth": True,
        "opts": Execution._meta,
        "original": execution,
        "live_url": reverse("admin:executions_execution_live", args=[execution.pk]),
    }
    return TemplateResponse(
        request, "admin/executions/execution/change_form.html", context
    )


@require_safe
def live(request: HttpRequest, object_id: str) -> HttpResponseBase:
    """The part that changes; 304 while it has not, and a mark on the last one."""
    execution = _execution(request, object_id)
    now = timezone.now()
    tag = _tag(execution, now)
    response: HttpResponse
    if request.headers.get("If-None-Match") == tag:
        response = HttpResponseNotModified()
    else:
        context = _context(request, execution, now)
        response = render(request, "admin/executions/execution/live.html", context)
    response["ETag"] = tag
    if ExecutionState(execution.state) in TERMINAL:
        response["X-Netra-Terminal"] = "1"
    return response


def _execution(request: HttpRequest, object_id: str) -> Execution:
    if not (
        request.user.has_perm("executions.view_execution")
        or request.user.has_perm("executions.change_execution")
    ):
        raise PermissionDenied("Your role may not look at executions.")
    execution = inspection.find(object_id)
    if execution is None:
        raise Http404("There is no such execution.")
    return execution


def _context(
    request: HttpRequest, execution: Execution, now: datetime
) -> dict[str, object]:
    state = ExecutionState(execution.state)
    permitted = request.user.has_perm("executions.change_execution")
    stoppable = ExecutionState.CANCELLED in TRANSITIONS[state]
    return {
        "i": inspection.inspect(execution, now),
        "access": disclosure.access_of(request, content.subject_of(execution), now),
        "e": execution,
        "may_cancel": permitted and stoppable,
        "why_not": _why_not(state, permitted=permitted),
        "asked_to_stop": execution.cancel_requested_at is not None and state in ALIVE,
    }


def _why_not(state: ExecutionState, *, permitted: bool) -> str:
    """Why there is no button to cancel."""
    if state in TERMINAL:
        return ""
    if state is ExecutionState.COMPLETING:
        return "Its answer is being written; it can no longer be cancelled."
    return "" if permitted else "Your role may look at executions and not cancel them."


def _tag(execution: Execution, now: datetime) -> str:
    told = inspection.fresh(execution)
    if ExecutionState(execution.state) in ALIVE:
        told = (*told, int(now.timestamp()) // MOVES_EVERY)
    return f'"{hashlib.sha256(repr(told).encode()).hexdigest()[:32]}"'
