"""`get_execution_tracker`: the one way to a tracker, and the private store of those that were given out.

What a person's view may do stands in `personal`, the system's in `overview`.
"""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Mapping
from typing import overload
from uuid import UUID

from apps.accounts.credentials import with_a_way_in
from apps.accounts.events import AccessEnded
from apps.core.tenancy import system
from apps.executions.contexts import UserExecutionContext, checked_context
from apps.executions.errors import ContextIsolationError
from apps.executions.overview import SystemTracker, overview, system_scope
from apps.executions.personal import AgentExecutionTracker, factory_key
from apps.executions.principals import context_from
from apps.executions.states import ExecutionState

__all__ = [
    "AgentExecutionTracker",
    "ExecutionState",
    "UserExecutionContext",
    "get_execution_tracker",
]

log = logging.getLogger(__name__)

VIEWS_MAX = 10_000  # views kept in one process, oldest dropped
SWEEP_SECONDS = 30.0
ENDED = "trackers.access_ended"  # the hub topic by which other processes are told
VOID = system("tracker: whose views are void")


class _Views:
    """The private store: one view for each person and organisation."""

    def __init__(self) -> None:
        self._views: OrderedDict[tuple[UUID, UUID], AgentExecutionTracker] = (
            OrderedDict()
        )
        self._lock = threading.Lock()

    def of(self, context: UserExecutionContext) -> AgentExecutionTracker:
        key = (context.organisation_id, context.user_id)
        with self._lock:
            view = self._views.get(key)
            if view is None:
                view = self._views[key] = AgentExecutionTracker(context, factory_key)
                if len(self._views) > VIEWS_MAX:
                    self._views.popitem(last=False)
            view.tier = context.tier
            return view

    def places(self) -> list[tuple[UUID, UUID]]:
        with self._lock:
            return list(self._views)

    def drop(self, organisation_id: UUID, user_id: UUID) -> bool:
        with self._lock:
            view = self._views.pop((organisation_id, user_id), None)
        if view is None:
            return False
        view.cleanup_user_data(user_id)
        return True


_views = _Views()


@overload
def get_execution_tracker(
    user_context: UserExecutionContext | Mapping[str, object],
) -> AgentExecutionTracker: ...
@overload
def get_execution_tracker(user_context: None = None) -> SystemTracker: ...
def get_execution_tracker(
    user_context: UserExecutionContext | Mapping[str, object] | None = None,
) -> AgentExecutionTracker | SystemTracker:
    """The view of the person in `user_context`, the same object each time.

    A mapping of ids is looked up first, and refused with InvalidContextError unless they are real.
    Without a context it is the system's tracker, which needs an open system scope. Raises TypeError
    for anything else, and ContextIsolationError for a context that was altered after it was made.
    """
    if user_context is None:
        system_scope()
        return overview
    if isinstance(user_context, Mapping):
        user_context = context_from(user_context)
    try:
        return _views.of(checked_context(user_context))
    except ContextIsolationError:
        log.warning(
            "an altered context asked for a tracker",
            extra={"action": "context.altered", "trail": _trail(user_context)},
        )
        raise


def _trail(context: object) -> dict[str, object]:
    return context.audit_trail() if isinstance(context, UserExecutionContext) else {}


def open_views() -> int:
    """How many views this process holds."""
    return len(_views.places())


def drop_view(organisation_id: UUID, user_id: UUID) -> bool:
    """Clean up a person's view and forget it; True when there was one."""
    return _views.drop(organisation_id, user_id)


def end_access(event: object) -> None:
    """Drop the views of whoever lost their access, here; told by a bell or by another process."""
    if not isinstance(event, AccessEnded):
        return
    for organisation_id, user_id in _views.places():
        if user_id == event.user_id and event.organisation_id in {
            None,
            organisation_id,
        }:
            _views.drop(organisation_id, user_id)


def drop_void_views() -> int:
    """Drop the views of people who have neither a session nor a token any more; returns how many.

    Expiry rings no bell, so it is looked for. Asks nothing while there is no view.
    """
    places = _views.places()
    if not places:
        return 0
    with VOID:
        kept = with_a_way_in(places)
    return sum(_views.drop(*place) for place in places if place not in kept)
