"""The workers' door: ids in, one call. Imported in worker processes only."""

from __future__ import annotations

from uuid import UUID

from celery import shared_task
from django.db import close_old_connections

from apps.executions import recovery
from apps.executions.runner import runner


@shared_task(name="executions.run", ignore_result=True)
def run(execution_id: str) -> bool:
    """Run an execution here, and keep its slot until it ended; nothing if it is not to be had."""
    return runner.run_from_thread(UUID(execution_id))


@shared_task(  # type: ignore[call-overload, untyped-decorator]  # `system` is netra.celery's
    name="executions.sweep",
    ignore_result=True,
    system="what nobody looks after, in all organisations",
)
def sweep() -> int:
    """Look for executions that nobody looks after; every process does so by itself as well."""
    try:
        return recovery.sweep()
    finally:
        close_old_connections()
