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
from apps.accounts.permissions import Operation, can
from apps.agents.access import agents_for, policies
from apps.agents.catalogue import AGENTS, WhileBusy
from apps.chat import access, queries
from apps.chat.models import Message, Thread
from apps.chat.retelling import NOTHING, Told, told_by_events
from apps.chat.wording import to_html
from apps.core.errors import NotFoundError
from apps.executions import queries as execution_queries
from apps.executions.models import Execution

SHOWN_MESSAGES = 200
STARTERS = (
    "Where did our AI spend jump last month, and what should we do?",
    "Which provider is slow, and how slow?",
    "What failed in the last seven days?",
    "How could we spend less next month?",
)
View = Callable[..., HttpResponse]
Shown = dict[str, Any]
READ_TRIES = 3


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
    position, messages = _page_of(shown) if shown else (None, [])
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
        "messages": messages,
        "agents": _agents(principal),
        "starters": STARTERS,
        "limits": {"text_max": principal.plan.text_max},
        "sees_grants": can(principal.role, Operation.SEE_GRANTS),
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


def _agents(principal: Principal) -> list[Shown]:
    while_busy = policies()
    return [
        {
            "name": profile.name,
            "title": profile.title,
            "description": profile.description,
            "while_busy": while_busy.get(profile.name, WhileBusy.QUEUE).value,
        }
        for profile in agents_for(is_staff=principal.is_staff)
    ]


def _page_of(shown: Thread) -> tuple[execution_queries.Position, list[Shown]]:
    """How far the log reaches, and the messages up to there: read again when it grew meanwhile."""
    for _ in range(READ_TRIES):
        position = execution_queries.position_of(shown.pk)
        messages = _messages(shown.pk)
        again = execution_queries.position_of(shown.pk)
        if position is not None and again is not None and position.last == again.last:
            return position, messages
    assert position is not None, "a thread has a stream from its first transaction on"
    return position, messages


def _messages(thread_id: UUID) -> list[Shown]:
    """The newest messages; each question's answer follows it, finished or not."""
    newest = list(queries.messages_of(thread_id).reverse()[:SHOWN_MESSAGES])[::-1]
    executions = {e.pk: e for e in Execution.objects.filter(stream_id=thread_id)}
    told = told_by_events(thread_id)
    answered = {m.execution_id for m in newest if m.role == Message.Role.ASSISTANT}
    shown: list[Shown] = []
    for message in newest:
        execution = (
            executions.get(message.execution_id) if message.execution_id else None
        )
        if message.role == Message.Role.USER:
            shown.append(_question(message))
            if execution is not None and execution.pk not in answered:
                shown.append(_answer(None, execution, told))
        else:
            shown.append(_answer(message, execution, told))
    return shown


def _question(message: Message) -> Shown:
    return {
        "id": message.pk,
        "role": "user",
        "text": message.text,
        "created_at": message.created_at,
        "execution_id": message.execution_id,
    }


def _answer(
    message: Message | None, execution: Execution | None, told: dict[UUID, Told]
) -> Shown:
    """An answer with what the log tells about it; without a message where none was written (yet)."""
    text = message.text if message else ""
    about = told.get(execution.pk, NOTHING) if execution else NOTHING
    profile = AGENTS.get(execution.agent) if execution else None
    return {
        "id": message.pk if message else (execution.reply_id if execution else None),
        "role": "assistant",
        "agent": profile.title if profile else "",
        "text": text,
        "html": to_html(text),
        "created_at": message.created_at
        if message
        else (execution.finished_at if execution else None),
        "execution_id": execution.pk if execution else None,
        "state": execution.state if execution else "",
        "attempt": (execution.announced_attempt or 1) if execution else 1,
        "steps": about.steps,
        "calls": about.calls,
        "error": about.error,
        "stopped": about.stopped,
        "partial": bool(message and message.partial),
    }
