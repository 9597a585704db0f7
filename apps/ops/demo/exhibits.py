"""Executions that stay alive, so that the demo shows all nine states for as long as one looks.

They are real: the work named `demo.exhibit` is claimed, leased, beaten for, handed back and recovered
like any other; it only never comes to an end before its own, very late deadline.
"""

from __future__ import annotations

import asyncio
import uuid
from datetime import datetime
from uuid import UUID

from django.utils import timezone

from apps.accounts.access import Principal
from apps.core.actors import Actor
from apps.core.database import write
from apps.executions import actions, journal, moves
from apps.executions.journal import Draft
from apps.executions.leased import LeasedExecution
from apps.executions.models import Execution
from apps.executions.runner import OPENING, runner
from apps.executions.runners import Outcome
from apps.executions.standing import RUNNER, Order, Standing
from apps.executions.states import ALIVE, EventType, ExecutionState, Phase

WORK = "demo.exhibit"
AGENT = "exhibit"
HELD = (ExecutionState.STARTING, ExecutionState.RUNNING, ExecutionState.COMPLETING)
SECONDS = 10 * 365 * 24 * 3600  # its deadline: far beyond any look at it
RESTARTS = 30_000  # an exhibit outlives every kill of the server
DEMO = Actor.system("demo")
LOOK_SECONDS = 1.0
NOTE = "Standing still, so that you can look at it"
PHASES = {
    ExecutionState.STARTING: (),
    ExecutionState.RUNNING: (Phase.THINKING,),
    ExecutionState.COMPLETING: (
        Phase.THINKING,
        Phase.LLM_INTERACTION,
        Phase.RESULT_PROCESSING,
        Phase.COMPLETING,
    ),
}


def put_up(principal: Principal, now: datetime) -> int:
    """Make the exhibits that are missing; returns how many that were."""
    alive = Execution.objects.filter(
        organisation_id=principal.organisation_id, runner=WORK, state__in=ALIVE
    )
    shown = set(alive.values_list("content__input__hold", flat=True))
    missing = [s for s in (ExecutionState.PENDING, *HELD) if s.value not in shown]
    for state in missing:
        _put_up(principal, state, now)
    return len(missing)


async def hold(lease: LeasedExecution) -> Outcome:
    """The work: go on to the state that the input names, and stay there until the process ends."""
    given = await lease.input()
    await _go_on(lease, ExecutionState(str(given["hold"])))
    await _until_the_process_ends()
    # Nothing is lost by stopping here: ask to be handed back, so that nobody waits for it.
    task = asyncio.current_task()
    assert task is not None, "work runs in a task"
    task.cancel()
    await asyncio.sleep(LOOK_SECONDS)
    return Outcome(text="")


async def _until_the_process_ends() -> None:
    """Return when the runner of this process has begun to take no more."""
    served = False
    while runner.accepting or not served:
        served = served or runner.accepting
        await asyncio.sleep(LOOK_SECONDS)


async def _go_on(lease: LeasedExecution, state: ExecutionState) -> None:
    if state is ExecutionState.STARTING:
        return
    for phase in PHASES[state]:
        lease.phase(phase)
    await lease.announce(EventType.AGENT_THINKING, _thought())
    if state is ExecutionState.COMPLETING:
        standing, now = lease.standing, timezone.now()
        lease.standing = await write(
            lease.scope, lambda: _begin_to_finish(standing, now)
        )


def _put_up(principal: Principal, state: ExecutionState, now: datetime) -> None:
    stream_id = uuid.uuid4()
    journal.open_stream(
        stream_id=stream_id,
        organisation_id=principal.organisation_id,
        user_id=principal.user_id,
    )
    order = _order(principal, stream_id, state)
    standing = actions.queue(actor=DEMO, order=order, now=now, ring=False)
    if state is ExecutionState.PENDING:
        return
    claimed = actions.claim(standing, owner=uuid.uuid4(), now=now)
    assert claimed is not None, (
        "nobody else can have claimed it inside this transaction"
    )
    claimed = moves.enter_phase(
        claimed, *((phase, now) for phase in (*OPENING, *PHASES[state]))
    )
    drafts = actions.start_event(standing, claimed)
    if state is not ExecutionState.STARTING:
        claimed = _move(claimed, ExecutionState.RUNNING, "work began", now)
        drafts.append(Draft(type=EventType.AGENT_THINKING, payload=_thought()))
    _append(claimed, drafts, now)
    if state is ExecutionState.COMPLETING:
        _begin_to_finish(claimed, now)


def _order(principal: Principal, stream_id: UUID, state: ExecutionState) -> Order:
    return Order(
        organisation_id=principal.organisation_id,
        user_id=principal.user_id,
        stream_id=stream_id,
        runner=WORK,
        agent=AGENT,
        tier=principal.tier,
        timeout_seconds=SECONDS,
        max_attempts=RESTARTS,
        input={"text": f"Stay {state.value}.", "hold": state.value},
        waiting_for="approval" if state is ExecutionState.PENDING else "",
    )


def _begin_to_finish(standing: Standing, now: datetime) -> Standing:
    return _move(
        standing, ExecutionState.COMPLETING, "the answer is being written", now
    )


def _move(
    standing: Standing, state: ExecutionState, reason: str, now: datetime
) -> Standing:
    values = {"phase": standing.phase or ""}
    return moves.move(
        standing, state, actor=RUNNER, now=now, reason=reason, values=values
    )


def _thought() -> dict[str, object]:
    return {"agent": AGENT, "step": 1, "note": NOTE, "progress": None}


def _append(standing: Standing, drafts: list[Draft], now: datetime) -> None:
    journal.append(
        organisation_id=standing.organisation_id,
        stream_id=standing.stream_id,
        drafts=drafts,
        now=now,
        execution_id=standing.id,
        attempt=standing.attempt,
    )
