"""What chat hears from executions: an end, to write the reply and let the next question go."""

from __future__ import annotations

from apps.chat import actions, queries
from apps.core.database import write_now
from apps.core.events import projector, receiver
from apps.core.tenancy import tenant
from apps.executions.events import ExecutionFinished


@projector(ExecutionFinished)
def write_reply(event: ExecutionFinished) -> None:
    actions.write_reply(event)


@receiver(ExecutionFinished)
def release_next_question(event: ExecutionFinished) -> None:
    scope = tenant(event.organisation_id, event.user_id)
    with scope:
        waiting = queries.someone_waits(event.organisation_id, event.stream_id)
    if waiting:
        write_now(scope, lambda: actions.release_next(event.stream_id))
