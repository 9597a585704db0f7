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

from django.db import transaction
from django.utils import timezone

from apps.core.database import read, write
from apps.core.errors import Explanation, NetraError
from apps.core.hub import hub
from apps.core.tenancy import system
from apps.executions import actions, journal, moves, queries, runners
from apps.executions.errors import LeaseLostError
from apps.executions.leased import LeasedExecution
from apps.executions.standing import Ending, Standing
from apps.executions.states import ExecutionState, Phase

log = logging.getLogger(__name__)

CAPACITY = 200  # executions at once in one process, where nobody says otherwise
POLL_SECONDS = 1.0
BEAT_SECONDS = actions.LEASE.total_seconds() / 3
DRAIN_SECONDS = 10.0
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
        if execution_id not in self._tasks:
            if self.free <= 0:
                return False
            claimed = await write(POLL, lambda: self._claim_named(execution_id))
            if claimed is None:
                return False
            self.begin(claimed)
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
        """Inside a unit: claim for this process; returns the claim and what it announces."""
        claimed = actions.claim(standing, owner=self.boot_id, now=now)
        if claimed is None:
            return None, []
        claimed = moves.enter_phase(claimed, *((phase, now) for phase in OPENING))
        return claimed, actions.start_event(standing, claimed)

    def _ended(self, execution_id: UUID, task: asyncio.Task[None]) -> None:
        self._tasks.pop(execution_id, None)
        self.running.pop(execution_id, None)
        self._stops.pop(execution_id, None)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error(
                "an execution's task failed",
                exc_info=error,
                extra={"action": "runner.task_failed"},
            )

    async def _claim_waiting(self) -> None:
        if self.free <= 0:
            return
        limit = self.free
        for standing in await read(
            POLL, lambda: queries.claimable(timezone.now(), limit)
        ):
            claimed = await write(POLL, lambda s=standing: self._claim_one(s))  # type: ignore[misc]
            if claimed is not None:
                self.begin(claimed)

    def _claim_named(self, execution_id: UUID) -> Standing | None:
        found = queries.claimable(timezone.now(), 1, only=execution_id)
        return self._claim_one(found[0]) if found else None

    def _claim_one(self, standing: Standing) -> Standing | None:
        now = timezone.now()
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
        held = await write(POLL, lambda: actions.beat(owner=self.boot_id, holds=holds))
        for execution_id in holds.keys() - held:
            lease = self.running.get(execution_id)
            if lease is not None and lease.standing.lease_token is not None:
                lease.lost = True
                self._interrupt(execution_id)

    def _interrupt(self, execution_id: UUID) -> None:
        lease, task = self.running.get(execution_id), self._tasks.get(execution_id)
        if lease is not None and task is not None and not lease.ending:
            task.cancel()

    async def _run(self, lease: LeasedExecution) -> None:
        try:
            ending = await self._work(lease)
            lease.ending = True  # from here on an interruption would only lose the end
            if ending is None:
                await lease.hand_back()
            else:
                await lease.finish(ending)
        except LeaseLostError as error:
            log.warning("%s", error.message, extra={"action": "execution.lease_lost"})
        finally:
            lease.close()

    async def _work(self, lease: LeasedExecution) -> Ending | None:
        """Call the named work; returns how it ended, or None to hand the execution back."""
        try:
            async with asyncio.timeout(max(lease.seconds_left, 0)) as clock:
                outcome = await runners.resolve(lease.standing.runner)(lease)
        except asyncio.CancelledError:
            return self._stopped(lease)
        except LeaseLostError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever the work raises ends the execution, explained
            if isinstance(error, TimeoutError) and clock.expired():
                return _timed_out(lease)
            return _failed(lease, error)
        return Ending(
            state=ExecutionState.COMPLETED,
            text=outcome.text,
            usage=outcome.usage,
            quality=outcome.quality,
            first_token_at=lease.first_token_at,
        )

    def _stopped(self, lease: LeasedExecution) -> Ending | None:
        task = asyncio.current_task()
        if task is not None:
            task.uncancel()
        if lease.lost:
            raise LeaseLostError(f"execution {lease.id} is another runner's now")
        stop = self._stops.get(lease.id)
        if stop is None:
            return None
        by, reason = stop
        return Ending(
            state=ExecutionState.CANCELLED,
            text=lease.text,
            cancelled_by=by,
            first_token_at=lease.first_token_at,
            explanation=Explanation(
                "cancelled", reason or "It was stopped.", "Ask again when you like."
            ),
        )

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._loops.append(task)
        task.add_done_callback(self._loops.remove)


def _timed_out(lease: LeasedExecution) -> Ending:
    seconds = lease.standing.timeout_seconds
    return Ending(
        state=ExecutionState.TIMEOUT,
        text=lease.text,
        first_token_at=lease.first_token_at,
        error_class="TimeoutError",
        explanation=Explanation(
            "timeout",
            f"The agent did not finish within {seconds} seconds.",
            "Ask again, or ask a smaller question.",
            retryable=True,
            values={"seconds": seconds, "tier": lease.standing.tier},
        ),
    )


def _failed(lease: LeasedExecution, error: Exception) -> Ending:
    if isinstance(error, NetraError):
        explanation = Explanation(
            error.code, error.message, error.fix, error.retryable, error.values
        )
    else:
        log.error(
            "work failed",
            exc_info=error,
            extra={"action": "execution.failed", "execution": str(lease.id)},
        )
        explanation = Explanation(
            "internal",
            "The agent stopped because of a fault in its program.",
            "Try again; support has been told.",
            retryable=True,
        )
    cause = error.__cause__ or error
    return Ending(
        state=ExecutionState.FAILED,
        text=lease.text,
        first_token_at=lease.first_token_at,
        error_class=type(cause).__name__,
        error_detail=f"{type(cause).__name__}: {cause}"[:4000],
        explanation=explanation,
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
