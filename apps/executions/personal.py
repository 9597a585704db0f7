"""One person's tracker: what somebody may see of their own executions, and do with them.

A view is a bounded handle on the ids that this process created or loaded for one person; the rows
are the truth, and history comes from queries. It deletes no row. The factory is in `tracker`.
"""

from __future__ import annotations

import threading
import uuid
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar
from uuid import UUID

from apps.core.actors import Actor
from apps.core.clock import clock
from apps.core.database import write_now
from apps.core.errors import ConflictError, NotAllowedError, NotFoundError
from apps.core.tenancy import Scope, tenant
from apps.executions import (
    access,
    actions,
    caller,
    endings,
    legacy_states,
    moves,
    reports,
)
from apps.executions.contexts import UserExecutionContext
from apps.executions.errors import LeaseLostError
from apps.executions.models import Execution
from apps.executions.reports import BreakerStatus, Move, TimeLeft
from apps.executions.standing import Order, Standing
from apps.executions.states import (
    CLAIMED,
    TERMINAL,
    ExecutionState,
    allows,
    checked_state,
)

Result = TypeVar("Result")

BY_ITS_CALLER = "Stopped by the program that called it."
IDS_MAX = 1_000  # ids kept in one view, oldest dropped
_OWNER = uuid.uuid4()  # under which this process's callers hold their leases

factory_key = object()  # held by `tracker`, which alone makes views


class AgentExecutionTracker:
    """One person's view of executions in one organisation. Comes from `get_execution_tracker` only."""

    def __init__(self, context: UserExecutionContext, key: object = None) -> None:
        if key is not factory_key:
            raise RuntimeError(
                "AgentExecutionTracker is private: use the factory get_execution_tracker(user_context=…)"
            )
        self._user_id = context.user_id
        self._organisation_id = context.organisation_id
        self.tier = context.tier
        self._ids: OrderedDict[UUID, None] = OrderedDict()
        self._leases: dict[UUID, UUID] = {}  # of executions whose caller works here
        self._lock = threading.Lock()

    @property
    def user_id(self) -> UUID:
        return self._user_id

    # -- create and read ---------------------------------------------------------------

    def create_execution(
        self,
        order: Order | None = None,
        *,
        agent_name: str = "",
        thread_id: object = None,
        user_id: object = None,
        timeout_seconds: int | None = None,
        actor: Actor | None = None,
    ) -> UUID:
        """Queue an execution for this view's person; refuses one for anybody else.

        An `order` goes to the runner that it names. Without one the caller does the work itself and
        reports it with `start_execution`, `heartbeat` and `update_execution_state`.
        """
        for owner in (user_id, order.user_id if order else None):
            if owner is not None and not self._is_mine(owner):
                raise _foreign()
        wanted = order or caller.order(
            self._scope,
            tier=self.tier,
            agent=agent_name,
            thread_id=thread_id,
            seconds=timeout_seconds,
        )
        if wanted.organisation_id != self._organisation_id:
            raise _foreign()
        by = actor or self._actor

        def unit() -> Standing:
            if order is None:
                return caller.queue(wanted, actor=by, now=clock.now())
            return actions.queue(actor=by, order=wanted)

        standing = self._write(unit)
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

    def get_agent_state(self, execution_id: UUID) -> ExecutionState:
        """The same as `get_state`: there is one state, the row's."""
        return self.get_state(execution_id)

    def get_state_history(self, execution_id: UUID) -> list[Move]:
        """Every move of the person's execution, from the rows, in order."""
        with self._scope:
            access.execution_for(self._user_id, execution_id)
            return reports.moves_of(execution_id)

    def get_user_executions(self, user_id: UUID) -> list[UUID]:
        """The ids this view holds; asked for another person it holds none."""
        if not self._is_mine(user_id):
            return []
        with self._lock:
            return list(self._ids)

    # -- move --------------------------------------------------------------------------

    def start_execution(self, execution_id: UUID) -> bool:
        """Claim a waiting execution for the caller; False when it no longer waits."""
        if self.get_state(execution_id) is not ExecutionState.PENDING:
            return False
        self.transition_state(execution_id, ExecutionState.STARTING)
        return True

    def heartbeat(self, execution_id: UUID) -> bool:
        """Renew the caller's lease; the first beat says that it runs. False when it holds none."""
        token = self._leases.get(execution_id)
        if token is None:
            return False

        def unit() -> Standing | None:
            if execution_id not in actions.beat(
                owner=_OWNER, holds={execution_id: token}
            ):
                return None
            standing = self._standing(execution_id)
            if standing.state is ExecutionState.STARTING:
                return self._step(standing, ExecutionState.RUNNING)
            return standing

        standing = self._write(unit)
        if standing is None:
            self._let_go(execution_id)
        return standing is not None

    def update_execution_state(
        self,
        execution_id: UUID,
        state: ExecutionState,
        *,
        error: str = "",
        result: str = "",
    ) -> bool:
        """Bring the caller's execution to `state`; False when it has ended, which nothing changes.

        Walks through the states that older callers leave out. Only the enum is taken: ValueError
        for a dict, TypeError for anything else.
        """
        target = checked_state(state)

        def unit() -> Standing | None:
            standing = self._standing(execution_id)
            if standing.state in TERMINAL:
                return None
            if target is ExecutionState.CANCELLED and not self._holds(standing):
                endings.cancel(
                    actor=self._actor, standing=standing, reason=BY_ITS_CALLER
                )
                return replace(standing, lease_token=None)
            path = legacy_states.walk(standing.state, target)
            return self._step(standing, *path, text=result, problem=error)

        return self._moved(self._write(unit))

    def set_agent_state(self, execution_id: UUID, state: ExecutionState) -> bool:
        """The same as `update_execution_state`."""
        return self.update_execution_state(execution_id, state)

    def transition_state(
        self, execution_id: UUID, state: ExecutionState
    ) -> ExecutionState:
        """One step of the table, nothing left out; raises IllegalTransitionError for any other."""
        target = checked_state(state)

        def unit() -> Standing:
            standing = self._standing(execution_id)
            if not allows(standing.state, target):
                moves.move(standing, target, actor=self._actor, now=clock.now())
            return self._step(standing, target)

        self._moved(self._write(unit))
        return target

    @staticmethod
    def validate_state_transition(
        source: ExecutionState, target: ExecutionState
    ) -> bool:
        """Whether the table allows this step."""
        return allows(source, target)

    def cancel(
        self, execution_id: UUID, *, actor: Actor, reason: str = ""
    ) -> ExecutionState:
        """Stop the person's execution; returns its state when it was asked."""

        def unit() -> ExecutionState:
            standing = self._standing(execution_id)
            return endings.cancel(actor=actor, standing=standing, reason=reason)

        return self._write(unit)

    # -- time and breakers -------------------------------------------------------------

    def set_timeout(self, execution_id: UUID, seconds: int) -> None:
        """Change the time of an execution that nobody has claimed yet, within the tier's."""
        checked = caller.checked_seconds(seconds, self.tier)

        def unit() -> None:
            standing = self._standing(execution_id)
            if standing.deadline_at is not None or standing.state in TERMINAL:
                raise ConflictError(
                    "Its deadline was set when it was first claimed.",
                    fix="Stop it with cancel(…), and create another one.",
                )
            moves.touch(standing, now=clock.now(), values={"timeout_seconds": checked})

        self._write(unit)

    def check_timeout(self, execution_id: UUID) -> TimeLeft:
        """How long it may still take. The sweeper ends it when its time is up, asked or not."""
        return reports.time_left(self.get_execution(execution_id), clock.now())

    def register_circuit_breaker(self, key: str) -> BreakerStatus:
        """How the breaker `provider:model` stands: each begins by itself with its first failure."""
        return self.circuit_breaker_status(key)

    def circuit_breaker_status(self, key: str) -> BreakerStatus:
        """Whether calls to that provider's model pass. All people share it."""
        with self._scope:
            return reports.breaker_of(key, clock.now())

    def reset_circuit_breaker(self, key: str) -> None:
        """Refused here: a breaker is everybody's, so staff close it, or the system's tracker."""
        raise NotAllowedError(
            f"The breaker {key!r} is shared by all; one person may not close it.",
            fix="It tries by itself after its wait; staff may close it in the admin.",
        )

    # -- forget ------------------------------------------------------------------------

    def cleanup_state(self, execution_id: UUID) -> bool:
        """Forget one id; its row stays. True when the view held it."""
        with self._lock:
            self._leases.pop(execution_id, None)
            return self._ids.pop(execution_id, execution_id) is None

    def cleanup_user_data(self, user_id: UUID) -> int:
        """Forget the ids of this view (at logout, expiry, revocation); returns how many."""
        if not self._is_mine(user_id):
            return 0
        with self._lock:
            count = len(self._ids)
            self._ids.clear()
            self._leases.clear()
        return count

    # -- inside ------------------------------------------------------------------------

    @property
    def _scope(self) -> Scope:
        return tenant(self._organisation_id, self._user_id)

    @property
    def _actor(self) -> Actor:
        return Actor.user(self._user_id, f"user {str(self._user_id)[:8]}")

    def _write(self, unit: Callable[[], Result]) -> Result:
        return write_now(self._scope, unit)

    def _standing(self, execution_id: UUID) -> Standing:
        return access.standing_for(self._user_id, execution_id)

    def _is_mine(self, user_id: object) -> bool:
        return str(user_id) == str(self._user_id)

    def _step(
        self,
        standing: Standing,
        *path: ExecutionState,
        text: str = "",
        problem: str = "",
    ) -> Standing:
        self._check_right(standing)
        for target in path:
            standing = caller.advance(
                standing,
                target,
                owner=_OWNER,
                actor=self._actor,
                now=clock.now(),
                text=text,
                problem=problem,
            )
        return standing

    def _check_right(self, standing: Standing) -> None:
        """Only what its caller works on here is moved from here; everything else has its runner."""
        if standing.runner != caller.RUNNER:
            raise ConflictError(
                f"The runner {standing.runner!r} reports how this execution goes on.",
                fix="Stop it with cancel(…), or wait for its end.",
            )
        if not self._holds(standing):
            raise LeaseLostError(f"execution {standing.id} is held by another caller")

    def _holds(self, standing: Standing) -> bool:
        if standing.runner != caller.RUNNER:
            return False
        if standing.state not in CLAIMED:
            return True
        return standing.lease_token == self._leases.get(standing.id)

    def _moved(self, standing: Standing | None) -> bool:
        """Keep or drop the caller's lease by where the write left the execution."""
        if standing is None:
            return False
        self._remember(standing.id)
        if standing.lease_token is None:
            self._let_go(standing.id)
        else:
            with self._lock:
                self._leases[standing.id] = standing.lease_token
        return True

    def _let_go(self, execution_id: UUID) -> None:
        with self._lock:
            self._leases.pop(execution_id, None)

    def _remember(self, execution_id: UUID) -> None:
        with self._lock:
            self._ids[execution_id] = None
            self._ids.move_to_end(execution_id)
            while len(self._ids) > IDS_MAX:
                oldest, _ = self._ids.popitem(last=False)
                self._leases.pop(oldest, None)


def _foreign() -> NotFoundError:
    return NotFoundError("This order belongs to another person.", field="user_id")
