"""Runs claimed executions on the event loop of this process, and keeps their leases alive.

Decides nothing about states: it claims, calls the named work, and reports how it ended.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import uuid
from collections.abc import Coroutine, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import transaction

from apps.core import faults
from apps.core.clock import clock, elapsed
from apps.core.database import read, submit, write
from apps.core.flags import Switch, enabled
from apps.core.hub import hub
from apps.core.tenancy import system
from apps.core.transactions import is_failing
from apps.executions import (
    actions,
    conclusions,
    journal,
    moves,
    outcomes,
    queries,
    runners,
)
from apps.executions.errors import ApprovalNeededError, ApprovalRequest, LeaseLostError
from apps.executions.leased import LeasedExecution
from apps.executions.loops import for_ever
from apps.executions.outcomes import Again
from apps.executions.standing import Ending, Standing
from apps.executions.states import Phase

log = logging.getLogger(__name__)

CAPACITY = 200  # executions at once in one process, where nobody says otherwise
POLL_SECONDS = 1.0
BEAT_SECONDS = actions.LEASE.total_seconds() / 3
FENCE_SECONDS = BEAT_SECONDS * 2  # unrenewed for so long, a runner stops itself
DRAIN_SECONDS = settings.NETRA_DRAIN_SECONDS
PART_SECONDS = 5.0  # a stop waits: for claims under way, then for what is handed back
PROMISED_SECONDS = 5.0  # that a place is kept for a claim whose commit is not heard of
GRACE_SECONDS = 30.0  # beyond its deadline; then nobody waits for an execution
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
        self._claiming: set[asyncio.Future[Standing | None]] = set()
        self._promised: dict[UUID, float] = {}  # claimed, perhaps; not yet begun
        self._places = threading.Lock()
        self._stops: dict[UUID, tuple[str, str]] = {}
        self._loops: list[asyncio.Task[None]] = []
        self._hint = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self.accepting = False
        self.self_fenced = 0  # executions given up because nothing could be renewed
        self._crowded = False  # something waits for another one's end

    @property
    def free(self) -> int:
        """Places for further executions; those that are being claimed count as taken."""
        if not self.accepting:
            return 0
        taken = len(self._tasks) + len(self._claiming) + len(self._promised)
        return max(self.capacity - taken, 0)

    async def start(self) -> None:
        """Begin to claim, beat and obey stop requests."""
        self._loop = asyncio.get_running_loop()
        self._hint = asyncio.Event()
        self.accepting = True
        hub.watch(STOPS, self._stop_soon)
        self._loops = [
            self._loop.create_task(loop, name=name)
            for name, loop in (
                (
                    "claim",
                    for_ever(self._claim_waiting, every=POLL_SECONDS, hint=self._hint),
                ),
                ("stops", for_ever(self._obey_stops, every=POLL_SECONDS)),
                ("beat", for_ever(self._beat, every=BEAT_SECONDS)),
                ("self-fence", for_ever(self._fence_self, every=POLL_SECONDS)),
            )
        ]

    async def stop(self, drain: float = DRAIN_SECONDS) -> None:
        """Take no more; let the running ones end, then hand back what is left."""
        if not self._loops:
            return
        self.accepting = False
        hub.unwatch(STOPS, self._stop_soon)
        self._loops[0].cancel()
        if self._claiming:
            await asyncio.wait(self._claiming, timeout=PART_SECONDS)
        if self._tasks:
            await asyncio.wait(self._tasks.values(), timeout=drain)
        for execution_id in list(self._tasks):
            self._interrupt(execution_id)
        if self._tasks:  # what does not let itself be stopped is found by its lease
            await asyncio.wait(self._tasks.values(), timeout=PART_SECONDS)
        for task in self._loops:
            task.cancel()
        await asyncio.wait(self._loops, timeout=PART_SECONDS)
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
        self._promised.pop(claimed.id, None)
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
        with self._places:
            if self.free <= 0:  # others were asked at the same moment
                self._crowded = True
                return []
            self._promised[standing.id] = elapsed()
        claimed, drafts = self.claim_here(standing, now=now)
        if claimed is None:
            self._promised.pop(standing.id, None)
            return drafts
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
        self._forget_promises()
        if self.free <= 0:
            return
        limit = self.free
        for standing in await read(POLL, lambda: queries.claimable(clock.now(), limit)):
            try:
                await self._claim(standing)
            except Exception as error:
                if is_failing(error):
                    raise
                log.exception(
                    "execution %s could not be claimed",
                    standing.id,
                    extra={"action": "runner.claim_failed"},
                )

    def _forget_promises(self) -> None:
        """Units that were rolled back begin nothing."""
        late = elapsed() - PROMISED_SECONDS
        for execution_id, promised_at in list(self._promised.items()):
            if promised_at < late:
                self._promised.pop(execution_id, None)

    async def _claim(self, standing: Standing) -> None:
        """Claim, and begin once that is committed, even when nobody waits for it any more."""
        if self.free > 0 and standing.id not in self._tasks:
            claiming = submit(POLL, lambda: self._claim_one(standing))
            self._claiming.add(claiming)
            claiming.add_done_callback(self._begin_claimed)
            await asyncio.shield(claiming)

    def _begin_claimed(self, claiming: asyncio.Future[Standing | None]) -> None:
        self._claiming.discard(claiming)
        if claiming.cancelled() or claiming.exception() is not None:
            return
        claimed = claiming.result()
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
            await conclusions.write(lease, outcome)
        except LeaseLostError as error:
            log.warning("%s", error.message, extra={"action": "execution.lease_lost"})
            if error.refused is not None:
                await conclusions.note(error.refused)
        finally:
            lease.close()

    async def _work(
        self, lease: LeasedExecution
    ) -> Ending | Again | ApprovalRequest | None:
        """Call the named work; returns how it ended, what is next, or None to hand it back."""
        try:
            async with asyncio.timeout(max(lease.seconds_left, 0)) as clock:
                outcome = await runners.resolve(lease.standing.runner)(lease)
        except asyncio.CancelledError as error:
            return self._stopped(lease, error)
        except LeaseLostError:
            raise
        except ApprovalNeededError as needed:
            return needed.request
        except Exception as error:  # noqa: BLE001 - whatever the work raises ends the execution, explained
            if isinstance(error, TimeoutError) and clock.expired():
                return outcomes.timed_out(lease)
            return outcomes.again(lease, error) or outcomes.failed(lease, error)
        return outcomes.completed(lease, outcome)

    def _stopped(
        self, lease: LeasedExecution, error: asyncio.CancelledError
    ) -> Ending | None:
        task = asyncio.current_task()
        assert task is not None, "work runs in a task"
        if not task.cancelling():  # nobody asked: the work did that by itself
            return outcomes.failed(lease, error)
        task.uncancel()
        if lease.lost:
            raise LeaseLostError(f"execution {lease.id} is another runner's now")
        stop = self._stops.get(lease.id)
        return None if stop is None else outcomes.stopped(lease, *stop)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._loops.append(task)
        task.add_done_callback(self._loops.remove)


runner = Runner()
