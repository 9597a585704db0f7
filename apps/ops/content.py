"""What was said in one execution or conversation, for the scope that audits.grants opens; and its sizes.

Nothing here decides who may read, or puts a reading on record: see support.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db.models import TextField
from django.db.models.functions import Cast

from apps.audits.readings import Subject, check_subject
from apps.chat.models import Message, Thread
from apps.core.content import Size, masked
from apps.core.tenancy import tenant
from apps.executions.models import Approval, Content, Event, Execution, Step

MESSAGES = 200
EVENTS = 500
ROWS = 100
# What would not be seen, or would turn the text round it: shown by its number instead.
_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff"
    "\U000e0000-\U000e007f]"
)
EXECUTION_FIELDS = (
    "thread.title",
    "content.input",
    "content.output",
    "content.partial",
    "content.error_detail",
    "events.payload",
    "steps.result",
    "approvals.reason",
    "approvals.arguments",
    "approvals.comment",
)
THREAD_FIELDS = ("thread.title", "messages.text")


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """One piece of content: whose or which it is, and its words."""

    name: str
    text: str
    at: datetime | None = None
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SaidInExecution:
    """All that an execution was given, gave and did, in words."""

    title: str
    parts: list[Said]
    events: list[Said]
    steps: list[Said]
    approvals: list[Said]


@dataclass(frozen=True, slots=True, kw_only=True)
class SaidInThread:
    """A conversation in words: its title and its newest messages, oldest first."""

    title: str
    messages: list[Said]


def sizes_of(execution: Execution) -> list[tuple[str, str]]:
    """What there is to read, each under its mask. Lengths are measured by the database."""
    rows = Content.objects.filter(execution_id=execution.pk).annotate(
        given=Size(Cast("input", TextField())),
        gave=Size("output"),
        so_far=Size("partial"),
        detail=Size("error_detail"),
    )
    with tenant(
        execution.organisation_id
    ):  # rows of content are hidden from staff whole
        found = rows.values_list("given", "gave", "so_far", "detail").first()
    names = ("Input", "Output", "Partial text", "Error detail")
    return [
        (name, masked(size))
        for name, size in zip(names, found or (), strict=False)
        if size
    ]


def newest_messages(subject: Subject) -> list[UUID]:
    """The ids of the messages that a page would show, oldest first."""
    with tenant(subject.organisation_id):  # as above
        rows = Message.objects.filter(thread_id=subject.thread_id)
        newest = rows.order_by("-created_at", "-id").values_list("pk", flat=True)
        return list(newest[:MESSAGES])[::-1]


def of_execution(execution: Execution) -> SaidInExecution:
    """Read it. Raises ContentClosedError outside the scope of a grant that reaches it."""
    check_subject(subject_of(execution))
    own = {"execution_id": execution.pk}
    content = Content.objects.filter(**own).first()
    events = Event.objects.filter(**own).order_by("seq")[:EVENTS]
    steps = Step.objects.filter(**own).order_by("planned_at", "id")[:ROWS]
    asked = Approval.objects.filter(**own).order_by("asked_at", "id")[:ROWS]
    return SaidInExecution(
        title=_title(execution.stream_id),
        parts=_parts(content) if content else [],
        events=[_event(row) for row in events],
        steps=[
            Said(name=row.tool, text=_told(row.result), at=row.finished_at)
            for row in steps
            if row.result is not None
        ],
        approvals=[_approval(row) for row in asked],
    )


def of_thread(subject: Subject, message_ids: Sequence[UUID]) -> SaidInThread:
    """Read exactly these messages. Raises ContentClosedError as `of_execution` does."""
    check_subject(subject)
    rows = Message.objects.filter(thread_id=subject.thread_id, pk__in=message_ids)
    return SaidInThread(
        title=_title(subject.thread_id),
        messages=[
            Said(
                name="Person"
                if row.role == Message.Role.USER
                else row.agent or "Agent",
                text=_seen(row.text),
                at=row.created_at,
                note="incomplete" if row.partial else "",
            )
            for row in rows.order_by("created_at", "id")
        ],
    )


def subject_of(execution: Execution) -> Subject:
    return Subject(
        organisation_id=execution.organisation_id,
        thread_id=execution.stream_id,
        execution_id=execution.pk,
    )


def _title(thread_id: UUID) -> str:
    title = Thread.objects.filter(pk=thread_id).values_list("title", flat=True).first()
    return _seen(title or "")


def _parts(content: Content) -> list[Said]:
    named = (
        ("Input", _told(content.input)),
        ("Output", _seen(content.output)),
        ("Partial text", _seen(content.partial)),
        ("Error detail", _seen(content.error_detail)),
    )
    return [Said(name=name, text=text) for name, text in named if text]


def _event(row: Event) -> Said:
    return Said(name=f"{row.seq} {row.type}", text=_told(row.payload), at=row.at)


def _approval(row: Approval) -> Said:
    words = {"reason": row.reason, "arguments": row.arguments}
    if row.comment:
        words["answer"] = row.comment
    return Said(name=row.tool, text=_told(words), at=row.asked_at)


def _told(value: object) -> str:
    return _seen(json.dumps(value, ensure_ascii=False, indent=2))


def _seen(text: str) -> str:
    return _UNSEEN.sub(lambda found: f"⟨U+{ord(found[0]):04X}⟩", text)
