"""Runs claimed executions on the event loop of this process, and keeps their leases alive.

Decides nothing about states: it claims, calls the named work, and reports how it ended.
"""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections.abc import Coroutine, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import DatabaseError, transaction

from apps.core import faults
from apps.core.clock import clock, elapsed
from apps.core.database import read, write
from apps.core.errors import NetraError
from apps.core.flags import Switch, enabled
from apps.core.hub import hub
from apps.core.tenancy import system
from apps.executions import actions, journal, moves, outcomes, queries, runners
from apps.executions.errors import (
    ApprovalNeededError,
    ApprovalRequest,
    LeaseLostError,
    Refused,
)
from apps.executions.leased import LeasedExecution
from apps.executions.outcomes import Again
from apps.executions.standing import RUNNER, Ending, Standing
from apps.executions.states import Phase

log = logging.getLogger(__name__)

CAPACITY = 200  # executions at once in one process, where nobody says otherwise
POLL_SECONDS = 1.0
BEAT_SECONDS = actions.LEASE.total_seconds() / 3
FENCE_SECONDS = BEAT_SECONDS * 2  # unrenewed for so long, a runner stops itself
DRAIN_SECONDS = settings.NETRA_DRAIN_SECONDS
GRACE_SECONDS = (
    30.0  # beyond its deadline, before nobody waits for an execution any more
)
STOPS = "runners.stops"  # the hub topic of requests to stop
OPENING = (
    Phase.CREATED,
    Phase.WEBSOCKET_SETUP,
    Phase.CONTEXT_VALIDATION,
    Phase.STARTING,
)

POLL = system("runner: claimable executions and stop requests")


class Runner:
    """All executions of one process. `boot_id` names the process in their rows."""

    def __init__(self) -> None:
        self.boot_id = uuid.uuid4()
        self.capacity = CAPACITY
        self.running: dict[UUID, LeasedExecution] = {}
        self._tasks: dict[UUID, asyncio.Task[None]] = {}
        self._stops: dict[UUID, tuple[str, str]] = {}
        self._loops: list[asyncio.Task[None]] = []
        self._hint = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self.accepting = False
        self.self_fenced = 0  # executions given up because nothing could be renewed
        self._crowded = False  # something waits for another one's end

    @property
    def free(self) -> int:
        return self.capacity - len(self._tasks) if self.accepting else 0

    async def start(self) -> None:
        """Begin to claim, beat and obey stop requests."""
        self._loop = asyncio.get_running_loop()
        self._hint = asyncio.Event()
        self.accepting = True
        hub.watch(STOPS, self._stop_soon)
        self._loops = [
            self._loop.create_task(
                _forever(self._claim_waiting, self._hint), name="netra-claim"
            ),
            self._loop.create_task(
                _forever(self._obey_stops, None), name="netra-stops"
            ),
            self._loop.create_task(
                _forever(self._beat, None, BEAT_SECONDS), name="netra-beat"
            ),
            self._loop.create_task(
                _forever(self._fence_self, None), name="netra-self-fence"
            ),
        ]

    async def stop(self, drain: float = DRAIN_SECONDS) -> None:
        """Take no more; let the running ones end, then hand back what is left."""
        if not self._loops:
            return
        self.accepting = False
        hub.unwatch(STOPS, self._stop_soon)
        self._loops[0].cancel()
        if self._tasks:
            await asyncio.wait(self._tasks.values(), timeout=drain)
        for execution_id in list(self._tasks):
            self._interrupt(execution_id)
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        for task in self._loops:
            task.cancel()
        await asyncio.gather(*self._loops, return_exceptions=True)
        self._loops = []

    def hint(self) -> None:
        """Something may be claimable; from any thread."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._hint.set)

    async def run(self, execution_id: UUID) -> bool:
        """Claim one execution and wait until it ended here; False where it is not to be had."""
        if execution_id not in self._tasks and not await self._take(execution_id):
            return False
        lease, task = self.running[execution_id], self._tasks[execution_id]
        await asyncio.wait({task}, timeout=max(lease.seconds_left, 0) + GRACE_SECONDS)
        return True

    def run_from_thread(self, execution_id: UUID) -> bool:
        """The same for a worker's thread, which waits meanwhile."""
        if self._loop is None or self._loop.is_closed():
            return False
        return asyncio.run_coroutine_threadsafe(
            self.run(execution_id), self._loop
        ).result()

    def begin(
        self, claimed: Standing, given: Mapping[str, object] | None = None
    ) -> None:
        """Run an execution that this process has claimed. On the loop's thread."""
        lease = LeasedExecution(claimed, given)
        self.running[claimed.id] = lease
        task = asyncio.get_running_loop().create_task(
            self._run(lease), name=f"execution {claimed.id}"
        )
        self._tasks[claimed.id] = task
        task.add_done_callback(lambda done: self._ended(claimed.id, done))

    def text_of(self, execution_id: UUID) -> str | None:
        """The answer so far, when the execution runs in this process."""
        lease = self.running.get(execution_id)
        return None if lease is None else lease.text

    def claim_at_intake(
        self, standing: Standing, given: Mapping[str, object], now: datetime
    ) -> list[journal.Draft]:
        """Inside the unit that queues: claim at once, begin on commit; returns what to announce."""
        claimed, drafts = self.claim_here(standing, now=now)
        if claimed is not None:
            ready = claimed
            transaction.on_commit(
                lambda: hub.run_on_loop(lambda: self.begin(ready, given)), robust=True
            )
        return drafts

    def claim_here(
        self, standing: Standing, *, now: datetime
    ) -> tuple[Standing | None, list[journal.Draft]]:
        """Inside a unit: claim for this process; returns the claim and what it announces.

        None when it was taken, or its organisation or person has enough at work.
        """
        if not queries.has_room(standing):
            self._crowded = True
            return None, []
        claimed = actions.claim(standing, owner=self.boot_id, now=now)
        if claimed is None:
            return None, []
        claimed = moves.enter_phase(claimed, *((phase, now) for phase in OPENING))
        return claimed, actions.start_event(standing, claimed)

    def _ended(self, execution_id: UUID, task: asyncio.Task[None]) -> None:
        self._tasks.pop(execution_id, None)
        self.running.pop(execution_id, None)
        self._stops.pop(execution_id, None)
        if self._crowded:
            self._crowded = False
            self._hint.set()
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error(
                "an execution's task failed",
                exc_info=error,
                extra={"action": "runner.task_failed"},
            )

    async def _take(self, execution_id: UUID) -> bool:
        """Claim the named execution if it is its turn; others that come first are claimed too."""
        if self.free <= 0:
            return False
        limit = self.free
        turn = await read(POLL, lambda: queries.claimable(clock.now(), limit))
        named = next((s for s in turn if s.id == execution_id), None)
        if named is None:
            self._hint.set()
            return execution_id in self._tasks
        await self._claim(named)
        return execution_id in self._tasks

    async def _claim_waiting(self) -> None:
        if self.free <= 0:
            return
        limit = self.free
        for standing in await read(POLL, lambda: queries.claimable(clock.now(), limit)):
            await self._claim(standing)

    async def _claim(self, standing: Standing) -> None:
        if self.free > 0 and standing.id not in self._tasks:
            claimed = await write(POLL, lambda: self._claim_one(standing))
            if claimed is not None:
                self.begin(claimed)

    def _claim_one(self, standing: Standing) -> Standing | None:
        now = clock.now()
        if not queries.take_pending(standing.id):
            return None
        claimed, drafts = self.claim_here(standing, now=now)
        if claimed is None:
            return None
        journal.append(
            organisation_id=claimed.organisation_id,
            stream_id=claimed.stream_id,
            drafts=drafts,
            now=now,
            execution_id=claimed.id,
            attempt=claimed.attempt,
        )
        return claimed

    def _stop_soon(self, _: object) -> None:
        self._spawn(self._obey_stops())

    async def _obey_stops(self) -> None:
        ids = [i for i in self._tasks if i not in self._stops]
        if not ids:
            return
        stops = await read(POLL, lambda: queries.stop_requests(ids))
        for execution_id, by in stops.items():
            if execution_id not in self._stops:
                self._stops[execution_id] = by
                self._interrupt(execution_id)

    async def _beat(self) -> None:
        holds = {
            i: lease.standing.lease_token
            for i, lease in self.running.items()
            if lease.standing.lease_token
        }
        if not holds:
            return
        began = elapsed()
        held = await write(POLL, lambda: actions.beat(owner=self.boot_id, holds=holds))
        for execution_id, token in holds.items():
            lease = self.running.get(execution_id)
            if lease is None or lease.standing.lease_token != token:
                continue
            if execution_id in held:
                lease.renewed_at = began
            else:
                self._lose(lease)

    async def _fence_self(self) -> None:
        """Stop what could not be renewed in time by this machine's own steady clock."""
        if not enabled(Switch.SELF_FENCE):
            return
        late = elapsed() - FENCE_SECONDS
        for lease in list(self.running.values()):
            if lease.renewed_at < late and not lease.lost:
                log.warning(
                    "execution %s was not renewed for %d s; it is given up here",
                    lease.id,
                    FENCE_SECONDS,
                    extra={"action": "execution.self_fenced"},
                )
                self.self_fenced += 1
                self._lose(lease)

    def _lose(self, lease: LeasedExecution) -> None:
        lease.lost = True
        self._interrupt(lease.id)

    def _interrupt(self, execution_id: UUID) -> None:
        lease, task = self.running.get(execution_id), self._tasks.get(execution_id)
        if lease is not None and task is not None and not lease.ending:
            task.cancel()

    async def _run(self, lease: LeasedExecution) -> None:
        faults.reach("after_claim")
        try:
            outcome = await self._work(lease)
            lease.ending = True  # from here on an interruption would only lose the end
            if outcome is None:
                await lease.hand_back()
            elif isinstance(outcome, Again):
                await lease.try_again(outcome.wait, outcome.reason, outcome.breaker)
            elif isinstance(outcome, ApprovalRequest):
                await lease.pause(outcome)
            else:
                await lease.finish(outcome)
        except LeaseLostError as error:
            log.warning("%s", error.message, extra={"action": "execution.lease_lost"})
            if error.refused is not None:
                await _note(error.refused)
        finally:
            lease.close()

    async def _work(
        self, lease: LeasedExecution
    ) -> Ending | Again | ApprovalRequest | None:
        """Call the named work; returns how it ended, what is next, or None to hand it back."""
        try:
            async with asyncio.timeout(max(lease.seconds_left, 0)) as clock:
                outcome = await runners.resolve(lease.standing.runner)(lease)
        except asyncio.CancelledError:
            return self._stopped(lease)
        except LeaseLostError:
            raise
        except ApprovalNeededError as needed:
            return needed.request
        except Exception as error:  # noqa: BLE001 - whatever the work raises ends the execution, explained
            if isinstance(error, TimeoutError) and clock.expired():
                return outcomes.timed_out(lease)
            return outcomes.again(lease, error) or outcomes.failed(lease, error)
        return outcomes.completed(lease, outcome)

    def _stopped(self, lease: LeasedExecution) -> Ending | None:
        task = asyncio.current_task()
        if task is not None:
            task.uncancel()
        if lease.lost:
            raise LeaseLostError(f"execution {lease.id} is another runner's now")
        stop = self._stops.get(lease.id)
        return None if stop is None else outcomes.stopped(lease, *stop)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._loops.append(task)
        task.add_done_callback(self._loops.remove)


async def _note(refused: Refused) -> None:
    now = clock.now()
    try:
        await write(
            POLL,
            lambda: actions.note_refused_move(refused, actor=RUNNER, now=now),
        )
    except (DatabaseError, NetraError):
        log.warning(
            "a refused move could not be noted",
            exc_info=True,
            extra={"action": "execution.refused_move_lost"},
        )


async def _forever(
    step: Any, hint: asyncio.Event | None, seconds: float = POLL_SECONDS
) -> None:
    """Repeat `step` every `seconds`, or at once when hinted; a failing step is logged and repeated."""
    while True:
        started = time.monotonic()
        try:
            await step()
        except asyncio.CancelledError:
            raise
        except Exception:
            log.exception(
                "a runner step failed", extra={"action": "runner.step_failed"}
            )
        wait = max(0.05, seconds - (time.monotonic() - started))
        if hint is None:
            await asyncio.sleep(wait)
            continue
        try:
            await asyncio.wait_for(hint.wait(), wait)
        except TimeoutError:
            continue
        finally:
            hint.clear()


runner = Runner()
