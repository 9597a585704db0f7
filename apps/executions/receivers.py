"""What executions hear: their own bells, to wake the runner of this process."""

from __future__ import annotations

from apps.core.events import receiver
from apps.executions.events import ExecutionCancelRequested, ExecutionQueued
from apps.executions.runner import runner


@receiver(ExecutionQueued)
def wake_runner(event: ExecutionQueued) -> None:
    runner.hint()


@receiver(ExecutionCancelRequested)
def stop_execution(event: ExecutionCancelRequested) -> None:
    runner.stop_soon()
