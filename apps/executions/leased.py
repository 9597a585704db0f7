"""What a runner's work holds: the right to write about one execution, and to stream its text.

Moves, phases and quiet events are buffered and written with the next loud one, or soon after.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from uuid import UUID

from django.utils import timezone

from apps.core.database import read, submit, write
from apps.core.errors import NetraError
from apps.core.hub import hub
from apps.core.tenancy import Scope, tenant
from apps.executions import actions, endings, journal, moves, queries
from apps.executions.contexts import UserExecutionContext
from apps.executions.errors import IllegalPhaseError, LeaseLostError
from apps.executions.events import TextDelta
from apps.executions.journal import Draft
from apps.executions.standing import Ending, Standing
from apps.executions.states import EventType, ExecutionState, Phase, allows_phase

log = logging.getLogger(__name__)

QUIET_SECONDS = 0.05  # a buffered event waits at most this long for a loud one
JOIN_SECONDS = 0.02  # deltas are joined over this time …
JOIN_CHARACTERS = 256  # … or up to this length
CHECKPOINT_SECONDS = 1.0


class LeasedExecution:
    """One claimed execution in this process. Its writes are fenced; losing the lease stops it."""

    def __init__(
        self, standing: Standing, given: Mapping[str, object] | None = None
    ) -> None:
        self.standing = standing
        self._given = given
        self.text = ""
        self.first_token_at: datetime | None = None
        self.lost = False
        self.ending = False
        self._pushed = 0
        self._kept = 0
        self._kept_at = time.monotonic()
        self._pushed_at = 0.0
        self._drafts: list[Draft] = []
        self._phases: list[tuple[Phase, datetime]] = []
        self._latest_phase = standing.phase
        self._lock = asyncio.Lock()
        self._quiet: asyncio.TimerHandle | None = None
        self._joining: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def id(self) -> UUID:
        return self.standing.id

    @property
    def scope(self) -> Scope:
        return tenant(self.standing.organisation_id, self.standing.user_id)

    @property
    def seconds_left(self) -> float:
        assert self.standing.deadline_at is not None
        return (self.standing.deadline_at - timezone.now()).total_seconds()

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
        self._phases.append((phase, timezone.now()))
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

    async def announce(self, kind: EventType, payload: dict[str, object]) -> None:
        """Commit an event, with everything that was buffered before it."""
        self._drafts.append(Draft(type=kind, payload=payload))
        await self.flush()

    def say(self, text: str) -> None:
        """Add the next piece of the answer; watchers get it joined with its neighbours."""
        if not text:
            return
        if self.first_token_at is None:
            self.first_token_at = timezone.now()
        self.text += text
        waiting = len(self.text) - self._pushed
        if (
            waiting >= JOIN_CHARACTERS
            or time.monotonic() - self._pushed_at >= JOIN_SECONDS
        ):
            self.push()
        elif self._joining is None:
            self._joining = asyncio.get_running_loop().call_later(
                JOIN_SECONDS, self.push
            )

    def push(self) -> None:
        """Send the text that watchers do not have yet."""
        if self._joining is not None:
            self._joining.cancel()
            self._joining = None
        piece = self.text[self._pushed :]
        if not piece or self.lost:
            return
        standing = self.standing
        delta = TextDelta(
            stream_id=standing.stream_id,
            execution_id=standing.id,
            message_id=standing.reply_id,
            attempt=standing.attempt,
            offset=self._pushed,
            text=piece,
        )
        self._pushed, self._pushed_at = len(self.text), time.monotonic()
        hub.publish(
            journal.stream_topic(standing.organisation_id, standing.stream_id), delta
        )
        if time.monotonic() - self._kept_at >= CHECKPOINT_SECONDS:
            self._kept_at = time.monotonic()
            self._spawn(self._keep())

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
        self.push()
        async with self._lock:
            self._cancel_quiet()
            drafts, phases = self._drafts, self._phases
            self._drafts, self._phases = [], []
            standing, now = self.standing, timezone.now()

            def unit() -> Standing:
                entered = moves.enter_phase(standing, *phases)
                return endings.finish(
                    entered, ending, actor=actions.RUNNER, now=now, drafts=drafts
                )

            await self._guarded(unit)

    async def hand_back(self) -> None:
        """Return the execution to pending, for another runner to go on with."""
        async with self._lock:
            self._cancel_quiet()
            standing, now = self.standing, timezone.now()
            await self._guarded(lambda: actions.hand_back(standing, now=now))

    def close(self) -> None:
        """Forget timers; nothing is pushed any more."""
        self._cancel_quiet()
        if self._joining is not None:
            self._joining.cancel()
        for task in self._tasks:
            task.cancel()

    async def _write(
        self, drafts: list[Draft], phases: list[tuple[Phase, datetime]]
    ) -> None:
        standing, now = self.standing, timezone.now()

        def unit() -> Standing:
            after = moves.enter_phase(standing, *phases)
            values = {"phase": after.phase or ""}
            if standing.state is ExecutionState.STARTING:
                moved = moves.move(
                    after,
                    ExecutionState.RUNNING,
                    actor=actions.RUNNER,
                    now=now,
                    reason="work began",
                    values=values,
                )
            else:
                moves.touch(after, now=now, values=values)
                moved = after
            journal.append(
                organisation_id=standing.organisation_id,
                stream_id=standing.stream_id,
                drafts=drafts,
                now=now,
                execution_id=standing.id,
                attempt=standing.attempt,
            )
            return moved

        await self._guarded(unit)

    async def _guarded(self, unit: Callable[[], Standing]) -> None:
        """Write, and stand where the write left us; a stop waits until that is known.

        A unit that was handed over commits even when nobody waits for it any more; going on
        from the old standing would then look like a lost lease.
        """
        if self.lost:
            raise LeaseLostError(f"execution {self.id} is another runner's now")
        writing = submit(self.scope, unit)
        try:
            self.standing = await asyncio.shield(writing)
        except asyncio.CancelledError:
            await asyncio.wait({writing})
            self._stand(writing)
            raise
        except LeaseLostError:
            self.lost = True
            raise

    def _stand(self, written: asyncio.Future[Standing]) -> None:
        try:
            self.standing = written.result()
        except LeaseLostError:
            self.lost = True
            raise

    async def _keep(self) -> None:
        async with self._lock:
            standing, text, now = self.standing, self.text, timezone.now()
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


class _Owner:
    """The principal in an execution's own row, proved when it was queued."""

    def __init__(self, standing: Standing) -> None:
        self.user_id, self.organisation_id, self.tier = (
            standing.user_id,
            standing.organisation_id,
            standing.tier,
        )
