"""The epoch of the numbered logs: what tells clients that a log is another than the one they know."""

from __future__ import annotations

import uuid

from apps.executions.models import Stream


def begin() -> int:
    """Give every log in the open scope a new epoch; returns how many there are.

    After a backup was restored the same numbers may soon stand for other events. A client that
    names the old epoch is sent to load everything anew.
    """
    changed: int = Stream.objects.update(epoch=uuid.uuid4())
    return changed
