"""What issues hears: the end of an execution, when it went wrong."""

from __future__ import annotations

from apps.core.events import receiver
from apps.executions.events import ExecutionFinished
from apps.issues import sweeper
from apps.issues.actions import Failure
from apps.issues.queries import FAILURES


@receiver(ExecutionFinished)
def group_failure(event: ExecutionFinished) -> None:
    if event.state in FAILURES:
        sweeper.group(Failure.announced(event))
