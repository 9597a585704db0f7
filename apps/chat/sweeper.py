"""Finds questions whose turn came without a bell, and forgets old message ids and deliveries."""

from __future__ import annotations

import logging
from datetime import timedelta
from functools import partial
from uuid import UUID

from django.utils import timezone

from apps.chat import actions, ledger, queries
from apps.core.clock import clock
from apps.core.database import write_now
from apps.core.flags import Switch, enabled
from apps.core.tenancy import system, tenant
from apps.core.transactions import is_failing

log = logging.getLogger(__name__)

WAITING = system("chat: questions that wait for their turn, and what is old")
KEYS_KEPT = timedelta(days=7)
DELIVERIES_KEPT = timedelta(days=30)
BATCH, BATCHES = 500, 10  # of one minute


def release_waiting() -> int:
    """Release the next question of every thread that can go on; returns how many."""
    with WAITING:
        threads = queries.threads_with_waiting()
    return sum(_release(*thread) for thread in threads)


def _release(organisation_id: UUID, stream_id: UUID) -> bool:
    """Release the next question of one thread; one that cannot go must not keep the others."""
    try:
        return write_now(
            tenant(organisation_id), partial(actions.release_next, stream_id)
        )
    except Exception as error:
        if is_failing(error):
            raise
        log.exception(
            "the next question of thread %s could not be released",
            stream_id,
            extra={"action": "chat.release_failed"},
        )
        return False


def forget_old_keys() -> int:
    """Drop message ids after seven days, as the protocol says."""
    before = timezone.now() - KEYS_KEPT
    return write_now(WAITING, lambda: actions.forget_keys(before))


def forget_old_deliveries() -> int:
    """Drop accounts of deliveries after thirty days, a few batches at a time; returns how many."""
    if not enabled(Switch.RETENTION):
        return 0
    before = clock.now() - DELIVERIES_KEPT
    dropped = 0
    for _ in range(BATCHES):
        batch = write_now(WAITING, partial(ledger.forget, before, BATCH))
        dropped += batch
        if batch < BATCH:
            break
    return dropped
