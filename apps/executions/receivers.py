"""What executions hear: their own bells, to wake a runner, and who lost their access."""

from __future__ import annotations

from apps.accounts.events import AccessEnded
from apps.core.events import receiver
from apps.core.hub import hub
from apps.executions import tracker
from apps.executions.dispatch import dispatcher
from apps.executions.events import ExecutionCancelRequested, ExecutionQueued
from apps.executions.runner import STOPS, runner


@receiver(ExecutionQueued)
def wake_runner(event: ExecutionQueued) -> None:
    if runner.accepting:
        runner.hint()
    else:
        dispatcher.send(event.execution_id, event.organisation_id)


@receiver(ExecutionCancelRequested)
def stop_execution(event: ExecutionCancelRequested) -> None:
    hub.publish(STOPS, event)


@receiver(AccessEnded)
def drop_views(event: AccessEnded) -> None:
    tracker.end_access(event)
    hub.publish(tracker.ENDED, event)
