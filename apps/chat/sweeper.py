"""Finds questions whose turn came without a bell, and forgets old message ids."""

from __future__ import annotations

from datetime import timedelta
from functools import partial

from django.utils import timezone

from apps.chat import actions, queries
from apps.core.database import write_now
from apps.core.tenancy import system, tenant

WAITING = system("chat: questions that wait for their turn, and old message ids")
KEYS_KEPT = timedelta(days=7)


def release_waiting() -> int:
    """Release the next question of every thread that can go on; returns how many."""
    with WAITING:
        threads = queries.threads_with_waiting()
    released = 0
    for organisation_id, stream_id in threads:
        release = partial(actions.release_next, stream_id)
        released += write_now(tenant(organisation_id), release)
    return released


def forget_old_keys() -> int:
    """Drop message ids after seven days, as the protocol says."""
    before = timezone.now() - KEYS_KEPT
    return write_now(WAITING, lambda: actions.forget_keys(before))
