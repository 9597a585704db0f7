"""Reads about conversations, for the open scope."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db.models import Count, Max, OuterRef, Q, QuerySet, Subquery, Sum
from django.db.models.functions import Length

from apps.chat.limits import HISTORY_MESSAGES
from apps.chat.models import Delivery, Message, Thread
from apps.core import sql
from apps.core.content import Size
from apps.core.tenancy import system, tenant
from apps.executions.models import Content, Execution
from apps.executions.states import ALIVE, CLAIMED, ExecutionState

THREADS = 200


def threads_of(user_id: UUID, *, archived: bool = False) -> QuerySet[Thread]:
    """A person's threads, newest first, with the state of the newest execution."""
    newest = Execution.objects.filter(stream_id=OuterRef("id")).order_by("-created_at")
    rows = Thread.objects.filter(user_id=user_id, archived=archived).order_by(
        "-updated_at"
    )
    found: QuerySet[Thread] = rows.annotate(
        last_state=Subquery(newest.values("state")[:1])
    )
    return found


def history(
    organisation_id: UUID, thread_id: UUID, *, limit: int = HISTORY_MESSAGES
) -> list[dict[str, str]]:
    """The newest messages of a thread, oldest first, as the agent gets them."""
    where = {"organisation_id": organisation_id, "thread_id": thread_id}
    rows = sql.select(
        Message, ("role", "text"), where=where, order="-created_at", limit=limit
    )
    return [{"role": role, "text": text} for role, text in reversed(rows)]


def history_without_waiting(thread_id: UUID) -> list[dict[str, str]]:
    """The same without the questions that still wait for their turn."""
    waiting = Execution.objects.filter(
        stream_id=thread_id, state=ExecutionState.PENDING
    )
    rows = Message.objects.filter(thread_id=thread_id).exclude(
        execution_id__in=waiting.values("id")
    )
    newest = rows.order_by("-created_at").values_list("role", "text")[:HISTORY_MESSAGES]
    return [{"role": role, "text": text} for role, text in reversed(newest)]


def messages_of(thread_id: UUID) -> QuerySet[Message]:
    found: QuerySet[Message] = Message.objects.filter(thread_id=thread_id)
    return found.order_by("created_at")


def is_asked(message_id: UUID) -> bool:
    """Whether a question is there: for whoever lost the answer to its commit."""
    return bool(Message.objects.filter(pk=message_id).exists())


def reply_to(execution_id: UUID) -> Message | None:
    """The agent's message that an execution wrote, whole or partial."""
    rows = Message.objects.filter(execution_id=execution_id)
    found: Message | None = rows.filter(role=Message.Role.ASSISTANT).first()
    return found


def someone_waits(organisation_id: UUID, thread_id: UUID) -> bool:
    """Whether a question of this thread waits for another one's end."""
    where = {
        "organisation_id": organisation_id,
        "stream_id": thread_id,
        "state": ExecutionState.PENDING,
        "waiting_for": "predecessor",
    }
    return bool(sql.select(Execution, ("id",), where=where, limit=1))


def alive_count(organisation_id: UUID, thread_id: UUID) -> int:
    """How many executions wait or run in a thread."""
    where = {"organisation_id": organisation_id, "stream_id": thread_id}
    return len(sql.select(Execution, ("id",), where=where, where_in={"state": ALIVE}))


def threads_with_waiting() -> list[tuple[UUID, UUID]]:
    """(organisation, thread) of every waiting question, for the sweep that hears no bell."""
    rows = Execution.objects.filter(
        state=ExecutionState.PENDING, waiting_for="predecessor"
    )
    # order_by() first: the model's own order would make every row distinct.
    return list(rows.order_by().values_list("organisation_id", "stream_id").distinct())


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptText:
    """How much of an answer that is being written was stored so far."""

    execution_id: UUID
    thread_id: UUID
    message_id: UUID | None
    attempt: int
    length: int


def texts_kept(thread_ids: Sequence[UUID]) -> list[KeptText]:
    """What is stored of the answers that are being written in these threads: one query for all."""
    rows = Content.objects.filter(
        execution__stream_id__in=thread_ids, execution__state__in=CLAIMED
    ).exclude(partial="")
    columns = (
        "execution_id",
        "execution__stream_id",
        "execution__reply_id",
        "execution__announced_attempt",
    )
    return [
        KeptText(
            execution_id=execution_id,
            thread_id=thread_id,
            message_id=reply_id,
            attempt=attempt,
            length=length,
        )
        for execution_id, thread_id, reply_id, attempt, length in rows.values_list(
            *columns, Length("partial")
        )
    ]


def text_kept(execution_id: UUID) -> str | None:
    """The stored text of an answer that is being written; None when it ended."""
    rows = Content.objects.filter(execution_id=execution_id, execution__state__in=ALIVE)
    found: str | None = rows.values_list("partial", flat=True).first()
    return found


def deliveries_of(thread_id: UUID, since: datetime, limit: int) -> list[Delivery]:
    """Who followed a thread at `since` or later, the newest connections, in their order."""
    rows = Delivery.objects.filter(thread_id=thread_id).filter(
        Q(closed_at__isnull=True) | Q(closed_at__gte=since)
    )
    return list(rows.order_by("-opened_at")[:limit])[::-1]


def last_delivery(thread_id: UUID) -> tuple[datetime | None, ...]:
    """When something of a thread was last sent, shown, or given up: one query."""
    rows = Delivery.objects.filter(thread_id=thread_id)
    found = rows.aggregate(
        sent=Max("sent_at"), shown=Max("acknowledged_at"), closed=Max("closed_at")
    )
    return tuple(found.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """How long a conversation is: numbers, no words."""

    messages: int
    characters: int
    title: int


def measures_of(thread_ids: Sequence[UUID]) -> dict[UUID, Measure]:
    """For staff, who do not see the rows of messages: their number and length, in two queries."""
    with system("chat: how long conversations are"):
        rows = Message.objects.filter(thread_id__in=thread_ids).order_by()
        counted = rows.values("thread_id").annotate(
            number=Count("id"), size=Sum(Size("text"))
        )
        said = {
            thread_id: (number, size)
            for thread_id, number, size in counted.values_list(
                "thread_id", "number", "size"
            )
        }
        titles = Thread.objects.filter(pk__in=thread_ids).order_by()
        sizes = dict(titles.values_list("pk", Size("title")))
    return {
        pk: Measure(messages=number, characters=size, title=title)
        for pk, title in sizes.items()
        for number, size in (said.get(pk, (0, 0)),)
    }


def outline_of(
    organisation_id: UUID, thread_id: UUID, limit: int
) -> list[dict[str, object]]:
    """For staff: who said something when, and how long it is."""
    columns = ("id", "role", "agent", "partial", "execution_id", "created_at")
    with tenant(organisation_id):
        rows = Message.objects.filter(thread_id=thread_id).order_by("created_at", "id")
        return list(rows.annotate(size=Size("text")).values(*columns, "size")[:limit])
