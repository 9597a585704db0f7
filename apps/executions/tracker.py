"""`get_execution_tracker`: the one way to a tracker, and what a person's view of it may see.

A view is a bounded handle on the ids that this process created or loaded for one person; the rows
are the truth, and history comes from queries. A view deletes no row.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping
from typing import NoReturn
from uuid import UUID

from apps.core.actors import Actor
from apps.core.database import write_now
from apps.core.errors import NotFoundError
from apps.core.tenancy import Scope, tenant
from apps.executions import access, actions, endings
from apps.executions.contexts import UserExecutionContext
from apps.executions.errors import InvalidContextError
from apps.executions.models import Execution
from apps.executions.standing import Order, Standing
from apps.executions.states import ExecutionState

VIEWS_MAX = 10_000  # views kept in one process, oldest dropped
IDS_MAX = 1_000  # ids kept in one view, oldest dropped

_factory_key = object()


class AgentExecutionTracker:
    """One person's view of executions in one organisation. Comes from `get_execution_tracker` only."""

    def __init__(self, context: UserExecutionContext, key: object = None) -> None:
        if key is not _factory_key:
            raise RuntimeError(
                "AgentExecutionTracker is private: use the factory get_execution_tracker(user_context=…)"
            )
        self._user_id = context.user_id
        self._organisation_id = context.organisation_id
        self._ids: OrderedDict[UUID, None] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def user_id(self) -> UUID:
        return self._user_id

    def create_execution(self, order: Order, *, actor: Actor) -> UUID:
        """Queue an execution for this view's person; refuses an order for anybody else."""
        if (order.user_id, order.organisation_id) != (
            self._user_id,
            self._organisation_id,
        ):
            raise NotFoundError(
                "This order belongs to another person.", field="user_id"
            )
        standing = write_now(
            self._scope, lambda: actions.queue(actor=actor, order=order)
        )
        self._remember(standing.id)
        return standing.id

    def get_execution(self, execution_id: UUID) -> Execution:
        """The person's execution; absent and foreign ones raise NotFoundError alike."""
        with self._scope:
            row = access.execution_for(self._user_id, execution_id)
        self._remember(execution_id)
        return row

    def get_state(self, execution_id: UUID) -> ExecutionState:
        return ExecutionState(self.get_execution(execution_id).state)

    def cancel(
        self, execution_id: UUID, *, actor: Actor, reason: str = ""
    ) -> ExecutionState:
        """Stop the person's execution; returns its state when it was asked."""

        def unit() -> ExecutionState:
            standing = self._standing(execution_id)
            return endings.cancel(actor=actor, standing=standing, reason=reason)

        return write_now(self._scope, unit)

    def get_user_executions(self, user_id: UUID) -> list[UUID]:
        """The ids this view holds; asked for another person it holds none."""
        if user_id != self._user_id:
            return []
        with self._lock:
            return list(self._ids)

    def cleanup_user_data(self, user_id: UUID) -> int:
        """Forget the ids of this view (at logout, expiry, revocation); returns how many."""
        if user_id != self._user_id:
            return 0
        with self._lock:
            count = len(self._ids)
            self._ids.clear()
        return count

    @property
    def _scope(self) -> Scope:
        return tenant(self._organisation_id, self._user_id)

    def _standing(self, execution_id: UUID) -> Standing:
        return access.standing_for(self._user_id, execution_id)

    def _remember(self, execution_id: UUID) -> None:
        with self._lock:
            self._ids[execution_id] = None
            self._ids.move_to_end(execution_id)
            while len(self._ids) > IDS_MAX:
                self._ids.popitem(last=False)


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
                view = self._views[key] = AgentExecutionTracker(context, _factory_key)
                if len(self._views) > VIEWS_MAX:
                    self._views.popitem(last=False)
            return view

    def drop(self, organisation_id: UUID, user_id: UUID) -> bool:
        with self._lock:
            return self._views.pop((organisation_id, user_id), None) is not None


_views = _Views()


def get_execution_tracker(user_context: UserExecutionContext) -> AgentExecutionTracker:
    """The view of the person in `user_context`, the same object each time.

    Raises TypeError for anything but a UserExecutionContext, InvalidContextError for one that was
    altered after it was made.
    """
    if not isinstance(user_context, UserExecutionContext):
        _refuse(user_context)
    user_context.verify()
    return _views.of(user_context)


def drop_view(organisation_id: UUID, user_id: UUID) -> bool:
    """Forget a person's view entirely; True when there was one."""
    return _views.drop(organisation_id, user_id)


def _refuse(value: object) -> NoReturn:
    if isinstance(value, Mapping):
        raise InvalidContextError(
            "a tracker needs a UserExecutionContext; build it with UserExecutionContext.for_principal(…)"
        )
    raise TypeError(
        f"a tracker needs a UserExecutionContext, not {type(value).__name__}"
    )
