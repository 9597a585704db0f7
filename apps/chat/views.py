"""The chat page: the conversation as the server knows it, readable without script."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any
from uuid import UUID

from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render

from apps.accounts.access import Principal, memberships_of
from apps.agents.access import agents_for
from apps.chat import access, queries
from apps.chat.models import Message, Thread
from apps.chat.wording import to_html
from apps.core.errors import NotFoundError
from apps.executions import queries as execution_queries
from apps.executions.models import Execution
from apps.executions.states import EventType

SHOWN_MESSAGES = 200
STARTERS = (
    "Where did our AI spend jump last month, and what should we do?",
    "Which provider is slow, and how slow?",
    "What failed in the last seven days?",
    "How could we spend less next month?",
)
View = Callable[..., HttpResponse]


def _for_members(view: View) -> View:
    @wraps(view)
    def wrapped(request: HttpRequest, **kwargs: Any) -> HttpResponse:
        principal: Principal | None = getattr(request, "principal", None)
        if principal is None:
            raise Http404
        with principal.scope:
            return view(request, principal, **kwargs)

    return login_required(wrapped)


@_for_members
def thread(
    request: HttpRequest, principal: Principal, thread_id: UUID | None = None
) -> HttpResponse:
    """One conversation, or the empty page that starts one."""
    shown: Thread | None = None
    if thread_id is not None:
        try:
            shown = access.thread_for(principal.user_id, thread_id)
        except NotFoundError as error:
            raise Http404(error.message) from error
    position = execution_queries.position_of(shown.pk) if shown else None
    context = {
        "principal": principal,
        "organisations": _organisations(principal),
        "threads": list(queries.threads_of(principal.user_id)[: queries.THREADS]),
        "thread": {
            "id": shown.pk,
            "title": shown.title,
            "epoch": position.epoch,
            "last_seq": position.last,
        }
        if shown and position
        else None,
        "messages": _messages(shown.pk) if shown else [],
        "agents": agents_for(is_staff=principal.is_staff),
        "starters": STARTERS,
        "limits": {"text_max": principal.plan.text_max},
    }
    return render(request, "chat/thread.html", context)


def _organisations(principal: Principal) -> list[dict[str, object]]:
    return [
        {
            "slug": m.organisation.slug,
            "name": m.organisation.name,
            "current": m.organisation_id == principal.organisation_id,
        }
        for m in memberships_of(principal.user_id)
    ]


def _messages(thread_id: UUID) -> list[dict[str, object]]:
    """The newest messages, each answer with its execution's state, tools and error."""
    newest = list(queries.messages_of(thread_id).reverse()[:SHOWN_MESSAGES])[::-1]
    executions = {e.pk: e for e in Execution.objects.filter(stream_id=thread_id)}
    told = _told_by_events(thread_id)
    shown: list[dict[str, object]] = []
    answered = {m.execution_id for m in newest if m.role == Message.Role.ASSISTANT}
    for message in newest:
        execution = (
            executions.get(message.execution_id) if message.execution_id else None
        )
        shown.append(_shown(message, execution, told))
        if (
            message.role == Message.Role.USER
            and execution
            and execution.pk not in answered
        ):
            if execution.finished_at is not None:
                shown.append(_shown(None, execution, told))
    return shown


def _shown(
    message: Message | None,
    execution: Execution | None,
    told: dict[UUID, dict[str, Any]],
) -> dict[str, object]:
    is_answer = message is None or message.role == Message.Role.ASSISTANT
    text = message.text if message else ""
    about = told.get(execution.pk, {}) if execution and is_answer else {}
    return {
        "id": message.pk if message else (execution.reply_id if execution else None),
        "role": "assistant" if is_answer else "user",
        "text": text,
        "html": to_html(text) if is_answer else "",
        "created_at": message.created_at
        if message
        else (execution.finished_at if execution else None),
        "execution_id": execution.pk if execution else None,
        "state": execution.state if execution and is_answer else None,
        "tools": about.get("tools", []),
        "error": about.get("error"),
        "partial": bool(message and message.partial),
    }


def _told_by_events(thread_id: UUID) -> dict[UUID, dict[str, Any]]:
    """What the log tells of each execution beside its text: tools used, and how it failed."""
    told: dict[UUID, dict[str, Any]] = {}
    for entry in execution_queries.events_of_kinds(thread_id, TOLD):
        if entry.execution_id is None:
            continue
        about = told.setdefault(entry.execution_id, {"tools": [], "error": None})
        if entry.type is EventType.TOOL_COMPLETED:
            about["tools"].append(
                {key: entry.payload.get(key) for key in ("tool", "status", "ms")}
            )
        elif entry.type is EventType.ATTEMPT_STARTED:
            about["tools"] = []
        else:
            about["error"] = {
                key: entry.payload.get(key)
                for key in ("message", "fix", "receipt_id", "reason")
            }
    return told


TOLD = (
    EventType.TOOL_COMPLETED,
    EventType.ATTEMPT_STARTED,
    EventType.AGENT_ERROR,
    EventType.AGENT_CANCELLED,
)
