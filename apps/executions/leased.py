"""What a runner's work holds: the right to write about one execution, and to stream its text.

Moves, phases and quiet events are buffered and written with the next loud one, or soon after.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from apps.core import faults
from apps.core.clock import clock, elapsed
from apps.core.database import read, submit, write
from apps.core.errors import NetraError, UnavailableError
from apps.core.hub import hub
from apps.core.tenancy import Scope, tenant
from apps.core.transactions import CommitUnknownError, TransactionError
from apps.executions import actions, approvals, endings, journal, moves, queries
from apps.executions.contexts import UserExecutionContext
from apps.executions.errors import (
    ApprovalRequest,
    IllegalPhaseError,
    LeaseLostError,
)
from apps.executions.events import TextDelta
from apps.executions.journal import Draft
from apps.executions.speech import Speech
from apps.executions.standing import RUNNER, Ending, Standing
from apps.executions.states import EventType, ExecutionState, Phase, allows_phase

log = logging.getLogger(__name__)

QUIET_SECONDS = 0.05  # a buffered event waits at most this long for a loud one
PAUSE_SECONDS = 0.5  # between two looks whether the database is back
GRACE_SECONDS = 30.0  # past its deadline nobody waits longer for the database


class LeasedExecution:
    """One claimed execution in this process. Its writes are fenced; losing the lease stops it."""

    def __init__(
        self, standing: Standing, given: Mapping[str, object] | None = None
    ) -> None:
        self.standing = standing
        self._given = given
        self.speech = Speech(self._send_piece, lambda: self._spawn(self._keep()))
        self.lost = False
        self.ending = False
        self.renewed_at = elapsed()  # when its lease was last known to be ours
        self._kept = 0
        self._drafts: list[Draft] = []
        self._phases: list[tuple[Phase, datetime]] = []
        self._latest_phase = standing.phase
        self._lock = asyncio.Lock()
        self._quiet: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def id(self) -> UUID:
        return self.standing.id

    @property
    def text(self) -> str:
        """The answer so far."""
        return self.speech.text

    @property
    def first_token_at(self) -> datetime | None:
        return self.speech.first_token_at

    @property
    def scope(self) -> Scope:
        return tenant(self.standing.organisation_id, self.standing.user_id)

    @property
    def seconds_left(self) -> float:
        assert self.standing.deadline_at is not None
        return (self.standing.deadline_at - clock.now()).total_seconds()

    @property
    def latest_phase(self) -> Phase | None:
        """The newest phase: written, buffered, or on its way to the database."""
        return self._latest_phase

    def context(self) -> UserExecutionContext:
        """For whom this execution runs: tools take their tenant from here."""
        return UserExecutionContext.for_principal(
            _Owner(self.standing),
            thread_id=self.standing.stream_id,
            run_id=self.standing.id,
        )

    async def input(self) -> dict[str, object]:
        """What the execution was asked to do."""
        if self._given is not None:
            return dict(self._given)
        return await read(self.scope, lambda: queries.input_of(self.id))

    def phase(self, phase: Phase) -> None:
        """Enter a phase; it is written with the next event. Raises IllegalPhaseError."""
        if not allows_phase(self.latest_phase, phase):
            raise IllegalPhaseError(
                f"Phase {phase} may not follow {self.latest_phase}."
            )
        self._phases.append((phase, clock.now()))
        self._latest_phase = phase

    def think(self, note: str, *, step: int, progress: float | None = None) -> None:
        """Announce a thought; written with the next loud event, or within 50 ms."""
        payload = {
            "agent": self.standing.agent,
            "step": step,
            "note": note,
            "progress": progress,
        }
        self._drafts.append(Draft(type=EventType.AGENT_THINKING, payload=payload))
        self._flush_soon()

    async def announce(
        self,
        kind: EventType,
        payload: Mapping[str, object],
        also: Callable[[Standing], None] | None = None,
    ) -> None:
        """Commit an event, with everything that was buffered before it.

        `also` writes in the same unit; when this returns, that is committed too.
        """
        async with self._lock:
            self._cancel_quiet()
            drafts = [*self._drafts, Draft(type=kind, payload=payload)]
            phases, self._drafts, self._phases = self._phases, [], []
            await self._write(drafts, phases, also)

    def say(self, text: str) -> None:
        """Add the next piece of the answer; watchers get it joined with its neighbours."""
        self.speech.say(text)

    async def flush(self) -> None:
        """Write what is buffered: the move to running, phases, events; one unit."""
        async with self._lock:
            self._cancel_quiet()
            drafts, phases = self._drafts, self._phases
            if (
                not drafts
                and not phases
                and self.standing.state is not ExecutionState.STARTING
            ):
                return
            self._drafts, self._phases = [], []
            await self._write(drafts, phases)

    async def finish(self, ending: Ending) -> None:
        """Write the end together with what is buffered. Raises LeaseLostError when too late."""
        self.speech.push()
        async with self._lock:
            self._cancel_quiet()
            drafts, phases = self._drafts, self._phases
            self._drafts, self._phases = [], []
            standing, now = self.standing, clock.now()
            faults.reach("before_finish")

            def unit() -> Standing:
                entered = moves.enter_phase(standing, *phases)
                return endings.finish(
                    entered, ending, actor=RUNNER, now=now, drafts=drafts
                )

            await self._guarded(unit)

    async def hand_back(self) -> None:
        """Return the execution to pending, for another runner to go on with."""
        async with self._lock:
            self._cancel_quiet()
            standing, now = self.standing, clock.now()
            await self._guarded(lambda: actions.hand_back(standing, now=now))

    async def pause(self, request: ApprovalRequest) -> None:
        """Return the execution to pending until a person has answered."""
        self.speech.push()
        async with self._lock:
            self._cancel_quiet()
            drafts, phases = self._drafts, self._phases
            self._drafts, self._phases = [], []
            standing, now = self.standing, clock.now()

            def unit() -> Standing:
                entered = moves.enter_phase(standing, *phases)
                return approvals.ask(entered, request, now=now, drafts=drafts)

            await self._guarded(unit)

    async def try_again(self, wait: timedelta, reason: str, breaker: str = "") -> None:
        """Return the execution to pending after a passing failure, to start anew after `wait`."""
        async with self._lock:
            self._cancel_quiet()
            standing, now = self.standing, clock.now()
            await self._guarded(
                lambda: actions.try_again(
                    standing, now=now, wait=wait, reason=reason, breaker=breaker
                )
            )

    def close(self) -> None:
        """Forget timers; nothing is pushed any more."""
        self._cancel_quiet()
        self.speech.close()
        for task in self._tasks:
            task.cancel()

    async def _write(
        self,
        drafts: list[Draft],
        phases: list[tuple[Phase, datetime]],
        also: Callable[[Standing], None] | None = None,
    ) -> None:
        standing, now = self.standing, clock.now()

        def unit() -> Standing:
            after = moves.enter_phase(standing, *phases)
            values = {"phase": after.phase or ""}
            if standing.state is ExecutionState.STARTING:
                moved = moves.move(
                    after,
                    ExecutionState.RUNNING,
                    actor=RUNNER,
                    now=now,
                    reason="work began",
                    values=values,
                )
            else:
                moves.touch(after, now=now, values=values)
                moved = after
            if also is not None:
                also(moved)
            journal.append(
                organisation_id=standing.organisation_id,
                stream_id=standing.stream_id,
                drafts=drafts,
                now=now,
                execution_id=standing.id,
                attempt=standing.attempt,
            )
            return moved

        starts = standing.state is ExecutionState.STARTING
        faults.reach("before_start" if starts else "before_events")
        await self._guarded(unit, drafts)
        if starts:
            faults.reach("after_start")

    async def _guarded(
        self, unit: Callable[[], Standing], drafts: Sequence[Draft] = ()
    ) -> None:
        """Write, once, even when the database goes away in the middle of it.

        As long as the lease is held the work waits for the database to come back, looks whether
        the unit is there, and writes it again where it is not.
        """
        uid = drafts[-1].uid if drafts else None
        stopped = False
        while True:
            if self.lost:
                raise LeaseLostError(f"execution {self.id} is another runner's now")
            try:
                await self._submitted(unit)
            except (TransactionError, UnavailableError) as error:
                if not _passes(error):
                    raise
                # A stop that met the failure waits until the unit's fate is known.
                stopped |= isinstance(error.__context__, asyncio.CancelledError)
                found = await self._fate_of(uid, error)
                if found is None:
                    continue
                self.standing = found
            if stopped:
                raise asyncio.CancelledError
            return

    async def _fate_of(self, uid: UUID | None, error: NetraError) -> Standing | None:
        """Once the database answers again: where the unit left us, None when it is not there."""
        log.warning(
            "execution %s waits for the database: %s",
            self.id,
            error.message,
            extra={"action": "execution.waits_for_database"},
        )
        standing = self.standing
        while not self.lost and self.seconds_left > -GRACE_SECONDS:
            await asyncio.sleep(PAUSE_SECONDS)
            try:
                return await read(
                    self.scope, lambda: queries.fate_of_unit(standing, uid)
                )
            except TransactionError as again:
                if not _passes(again):
                    raise
        raise LeaseLostError(f"execution {self.id} could not be renewed in time")

    async def _submitted(self, unit: Callable[[], Standing]) -> None:
        """Write, and stand where the write left us; a stop waits until that is known.

        A unit that was handed over commits even when nobody waits for it any more; going on
        from the old standing would then look like a lost lease.
        """
        writing = submit(self.scope, unit)
        try:
            try:
                self.standing = await asyncio.shield(writing)
            except asyncio.CancelledError:
                await asyncio.wait({writing})
                self.standing = writing.result()
                raise
        except LeaseLostError:
            self.lost = True
            raise

    def _send_piece(self, offset: int, piece: str) -> None:
        if self.lost:
            return
        standing = self.standing
        delta = TextDelta(
            stream_id=standing.stream_id,
            execution_id=standing.id,
            message_id=standing.reply_id,
            attempt=standing.attempt,
            offset=offset,
            text=piece,
        )
        name = journal.stream_topic(standing.organisation_id, standing.stream_id)
        hub.publish(name, delta)

    async def _keep(self) -> None:
        async with self._lock:
            standing, text, now = self.standing, self.text, clock.now()
            if len(text) == self._kept or standing.state is not ExecutionState.RUNNING:
                return
            self._kept = len(text)
            await write(
                self.scope,
                lambda: actions.checkpoint(
                    standing, text=text, first_token_at=self.first_token_at, now=now
                ),
            )

    def _flush_soon(self) -> None:
        if self._quiet is None:
            loop = asyncio.get_running_loop()
            self._quiet = loop.call_later(
                QUIET_SECONDS, lambda: self._spawn(self.flush())
            )

    def _cancel_quiet(self) -> None:
        if self._quiet is not None:
            self._quiet.cancel()
            self._quiet = None

    def _spawn(self, work: object) -> None:
        task: asyncio.Task[None] = asyncio.get_running_loop().create_task(work)  # type: ignore[arg-type]
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if task.cancelled() or (error := task.exception()) is None:
            return
        if isinstance(error, LeaseLostError):
            self.lost = True
            return
        level = logging.WARNING if isinstance(error, NetraError) else logging.ERROR
        log.log(
            level,
            "a buffered write failed",
            exc_info=error,
            extra={"action": "execution.write_failed"},
        )


def _passes(error: NetraError) -> bool:
    """Whether the database may answer later; a full disk does not pass by itself."""
    return isinstance(error, CommitUnknownError) or (
        error.retryable and error.status == UnavailableError.status
    )


class _Owner:
    """The principal in an execution's own row, proved when it was queued."""

    def __init__(self, standing: Standing) -> None:
        self.user_id, self.organisation_id, self.tier = (
            standing.user_id,
            standing.organisation_id,
            standing.tier,
        )
