"""From an untrusted id to a thread or message of the open scope. Absent and foreign look the same."""

from __future__ import annotations

from uuid import UUID

from apps.chat.models import Message, Thread
from apps.core import sql
from apps.core.errors import NotFoundError


def thread_for(user_id: UUID, thread_id: UUID) -> Thread:
    """The user's own thread in the open organisation; raises NotFoundError."""
    rows = Thread.objects.filter(id=thread_id)
    rows = rows.filter(user_id=user_id)
    thread: Thread | None = rows.first()
    if thread is None:
        raise NotFoundError("There is no such thread.", field="thread_id")
    return thread


def title_for(organisation_id: UUID, user_id: UUID, thread_id: UUID) -> str:
    """The title of the user's own thread, as `thread_for` finds it; compiled, for each question."""
    where = {"id": thread_id, "organisation_id": organisation_id, "user_id": user_id}
    rows = sql.select(Thread, ("title",), where=where)
    if not rows:
        raise NotFoundError("There is no such thread.", field="thread_id")
    return str(rows[0][0])


def message_for(user_id: UUID, message_id: UUID) -> Message:
    """A message of the user's own thread; raises NotFoundError."""
    rows = Message.objects.filter(id=message_id)
    rows = rows.filter(thread__user_id=user_id)
    message: Message | None = rows.first()
    if message is None:
        raise NotFoundError("There is no such message.", field="message_id")
    return message
