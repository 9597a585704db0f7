"""The writer of the numbered log: one gapless sequence for each stream."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from django.db import transaction

from apps.core import sql
from apps.core.errors import NotFoundError
from apps.core.hub import hub
from apps.core.ids import rising_id
from apps.core.tenancy import topic
from apps.executions.events import LogEntry, StreamAdvanced
from apps.executions.models import Event, Stream
from apps.executions.states import EventType


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """An event that is about to get its number."""

    type: EventType
    payload: Mapping[str, object] = field(default_factory=dict)
    uid: UUID = field(default_factory=rising_id)
    final: bool = False
    about_execution: bool = (
        True  # a person's message is told beside its execution, not by it
    )


def open_stream(*, stream_id: UUID, organisation_id: UUID, user_id: UUID) -> None:
    """Start an empty log."""
    row = {"id": stream_id, "organisation_id": organisation_id, "user_id": user_id}
    sql.insert(Stream, [row | {"last": 0, "first_kept": 1}])


def append(
    *,
    organisation_id: UUID,
    stream_id: UUID,
    drafts: Sequence[Draft],
    now: datetime,
    execution_id: UUID | None = None,
    attempt: int = 0,
) -> list[LogEntry]:
    """Number the drafts under the stream's row lock, store them, and ring its watchers on commit."""
    if not drafts:
        return []
    where = {"id": stream_id, "organisation_id": organisation_id}
    last = sql.advance(Stream, where=where, column="last", by=len(drafts))
    if last is None:
        raise NotFoundError("There is no such stream.")
    entries = [
        LogEntry(
            stream_id=stream_id,
            seq=last - len(drafts) + 1 + index,
            event_uid=draft.uid,
            execution_id=execution_id if draft.about_execution else None,
            attempt=attempt if draft.about_execution else 0,
            type=draft.type,
            payload=dict(draft.payload),
            at=now,
        )
        for index, draft in enumerate(drafts)
    ]
    sql.insert(
        Event,
        [
            _event_row(organisation_id, e, d)
            for e, d in zip(entries, drafts, strict=True)
        ],
    )
    hint = StreamAdvanced(entries=tuple(entries))
    name = stream_topic(organisation_id, stream_id)
    transaction.on_commit(lambda: hub.publish(name, hint), robust=True)
    return entries


def stream_topic(organisation_id: UUID, stream_id: UUID) -> str:
    """The hub topic of one stream."""
    return topic(organisation_id, "stream", stream_id.hex)


def _event_row(
    organisation_id: UUID, entry: LogEntry, draft: Draft
) -> dict[str, object]:
    return {
        "organisation_id": organisation_id,
        "stream_id": entry.stream_id,
        "seq": entry.seq,
        "event_uid": entry.event_uid,
        "execution_id": entry.execution_id,
        "attempt": entry.attempt,
        "type": entry.type,
        "final": draft.final,
        "payload": entry.payload,
        "at": entry.at,
    }
