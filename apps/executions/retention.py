"""What is removed of executions when the words must go: content and payloads, never the structure."""

from __future__ import annotations

from uuid import UUID

from apps.core.errors import ConflictError
from apps.executions import redaction
from apps.executions.models import Content, Event, Execution
from apps.executions.states import ALIVE


def forget_content(*, stream_id: UUID) -> None:
    """Remove what was said in a stream, in all its executions and events; what happened stays.

    Raises ConflictError while something in it is alive, since that would write again.
    """
    executions = Execution.objects.filter(stream_id=stream_id)
    if executions.filter(state__in=ALIVE).exists():
        raise ConflictError(
            "An answer is still being written here.",
            fix="Stop it, or wait for its end.",
        )
    Content.objects.filter(execution__in=executions.values("id")).update(
        input={}, output="", partial="", error_detail=""
    )
    events = Event.objects.filter(stream_id=stream_id).only("payload")
    for event in events.iterator(chunk_size=500):
        kept = redaction.without_words(event.payload)
        Event.objects.filter(pk=event.pk).update(payload=kept)
