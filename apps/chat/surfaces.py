"""The doors of chat to people's threads and messages, for isolation audits; and a canary's conversation."""

from __future__ import annotations

from collections.abc import Mapping
from uuid import UUID

from apps.accounts.access import principal_for
from apps.chat import access, actions
from apps.chat.actions import Question
from apps.chat.models import Thread
from apps.core.actors import Actor
from apps.core.surfaces import (
    Call,
    Canary,
    Deed,
    Kind,
    Route,
    Rows,
    Somebody,
    plant_with,
    register,
)
from apps.executions import access as executions
from apps.executions import endings

AUDIT = Actor.system("isolation audit")
THREADS = "/api/v1/threads"


def declare() -> None:
    """Called once, when the app is ready."""
    plant_with("chat", plant_conversation)
    register(
        Rows(label="chat.Thread"),
        Rows(label="chat.Message"),
        Rows(label="chat.IdempotencyKey"),
        Rows(label="chat.Delivery"),
        *_ROUTES,
        Call(kind=Kind.ACCESS, name="chat.thread_for", run=_thread, needs="thread_id"),
        Call(kind=Kind.ACCESS, name="chat.title_for", run=_title, needs="thread_id"),
        Call(
            kind=Kind.ACCESS, name="chat.message_for", run=_message, needs="message_id"
        ),
    )


def plant_conversation(canary: Canary) -> None:
    """One question of the owner's, stopped before any agent could begin; the last audit's goes."""
    for old in Thread.objects.filter(user_id=canary.owner.user_id):
        actions.delete_thread(thread=old)
    principal = principal_for(canary.owner.user_id, canary.slug)
    asked = actions.ask(
        principal=principal,
        question=Question(
            text=f"What does {canary.marker} cost?", client_id=canary.marker
        ),
    )
    standing = executions.standing_for(canary.owner.user_id, asked.execution_id)
    endings.cancel(actor=AUDIT, standing=standing, reason=canary.marker)
    canary.ids |= {
        "thread_id": str(asked.thread_id),
        "message_id": str(asked.message_id),
        "execution_id": str(asked.execution_id),
    }


_ROUTES = (
    Route(verb="GET", path=f"{THREADS}/", deed=Deed.LIST),
    Route(verb="GET", path=f"{THREADS}/?archived=true", deed=Deed.LIST, shows=False),
    Route(
        verb="POST",
        path=f"{THREADS}/",
        deed=Deed.CHANGE,
        body={"title": "x", "organisation": "{slug}"},
        control=None,
        personal=False,  # a colleague may begin one of their own
    ),
    Route(verb="GET", path=f"{THREADS}/{{thread_id}}/"),
    Route(verb="GET", path=f"{THREADS}/{{thread_id}}/messages/"),
    Route(verb="GET", path=f"{THREADS}/{{thread_id}}/events/"),
    Route(verb="GET", path=f"{THREADS}/{{thread_id}}/events/?after=1", shows=False),
    Route(
        verb="POST",
        path=f"{THREADS}/{{thread_id}}/messages/",
        deed=Deed.CHANGE,
        body={"text": "What is said here?"},
        control=None,
    ),
    Route(
        verb="PATCH",
        path=f"{THREADS}/{{thread_id}}/",
        deed=Deed.CHANGE,
        body={"title": "taken over"},
        control=None,
    ),
    Route(
        verb="DELETE",
        path=f"{THREADS}/{{thread_id}}/",
        deed=Deed.CHANGE,
        control=None,
    ),
)


def _thread(who: Somebody, ids: Mapping[str, str]) -> object:
    return access.thread_for(who.user_id, UUID(ids["thread_id"])).title


def _title(who: Somebody, ids: Mapping[str, str]) -> object:
    return access.title_for(who.organisation_id, who.user_id, UUID(ids["thread_id"]))


def _message(who: Somebody, ids: Mapping[str, str]) -> object:
    return access.message_for(who.user_id, UUID(ids["message_id"])).text
