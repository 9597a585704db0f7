"""What runs beside the requests of a server, or in a worker: runner, sweeper, relay, delivery."""

from __future__ import annotations

import asyncio
import gc
import logging
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING

from django.conf import settings
from django.db import close_old_connections

from apps.chat.connections import connections
from apps.chat.delivery import delivery
from apps.core import clock, database
from apps.core.errors import UnavailableError
from apps.core.hub import hub
from apps.core.watchdog import watchdog
from apps.executions import recovery, runners, tracker
from apps.executions.runner import DRAIN_SECONDS, runner

if TYPE_CHECKING:
    from apps.core.relay import Relay

log = logging.getLogger(__name__)

GC_THRESHOLD = (
    20_000,
    20,
    50,
)  # a turn makes many short-lived objects; look less often
STARTING = UnavailableError("The server is starting.", retry_after=2)
GOING = UnavailableError("The server is going away.", retry_after=2)
LOOK_SECONDS = 0.2  # how often a drain looks whether all is done


class Runtime:
    """Started once for each process, on its event loop."""

    def __init__(self) -> None:
        self.running = False
        self.stopped = False
        self.expected = False  # a server command launches it, nobody else may
        self.ready = False  # started to the end, and not yet told to go
        self.run_agents = not settings.NETRA_REDIS_URL  # else the workers do
        self.serve_people = True
        self.sole = (
            False  # one process only, so whatever is claimed at start has no runner
        )
        # What the start waits for while the server listens already, and refuses in words.
        self.wait_first: Callable[[], Awaitable[None]] | None = None
        self.starting: asyncio.Task[None] | None = None
        self._stopping: asyncio.Task[None] | None = None
        self._hurried = False
        self._sweeper: recovery.Sweeper | None = None
        self._relay: Relay | None = None

    def expect(self) -> None:
        """Say that a server will launch this: whoever comes before that is refused in words."""
        self.expected = True
        connections.refusing = STARTING

    def launch(self, *, or_else: Callable[[], object]) -> None:
        """Start in a task of its own; where that fails, call `or_else`, and `failure` says why."""

        def ended(task: asyncio.Task[None]) -> None:
            if not task.cancelled() and task.exception() is not None:
                or_else()  # a server without its runtime would only take questions in

        self.starting = asyncio.get_running_loop().create_task(
            self.start(), name="netra-start"
        )
        self.starting.add_done_callback(ended)

    @property
    def failure(self) -> BaseException | None:
        """Why the launched start failed."""
        task = self.starting
        return (
            None
            if task is None or not task.done() or task.cancelled()
            else task.exception()
        )

    async def start(self) -> None:
        """Bind the hub, recover orphans where this is the only process, begin to work."""
        if self.running:
            return
        self.running, self.stopped, self._hurried = True, False, False
        connections.refusing = STARTING
        loop = asyncio.get_running_loop()
        hub.bind(loop)
        watchdog.start()
        database.checkpoint_here()
        if settings.NETRA_REDIS_URL:
            self._relay = _relay()
            self._relay.start()
        if self.wait_first is not None:
            await self.wait_first()
        # Before the first claim: leases and deadlines are the database's time.
        await loop.run_in_executor(None, _follow_clock)
        if self.sole:
            found = await loop.run_in_executor(
                None, partial(recovery.recover_orphans, runner.boot_id)
            )
            if found:
                log.info(
                    "%d executions had lost their runner",
                    found,
                    extra={"action": "recovery.orphans"},
                )
        await self._begin(loop)
        # What is loaded by now stays: the collector need not walk it again and again.
        gc.collect()
        gc.freeze()
        gc.set_threshold(*GC_THRESHOLD)

    async def _begin(self, loop: asyncio.AbstractEventLoop) -> None:
        if self.run_agents:
            await runner.start()
        self._sweeper = recovery.Sweeper()
        self._sweeper.start()
        hub.watch(tracker.ENDED, tracker.end_access)
        if self.serve_people:
            delivery.start()
            connections.start()
        self.ready = True
        if self.run_agents:
            await loop.run_in_executor(None, runners.load_all)

    def hurry(self) -> None:
        """Hand back now what still runs: somebody asked a second time. Safe in a signal's handler."""
        self._hurried = True

    def farewell(self) -> str:
        """What to tell who stopped this process."""
        number = len(runner.running)
        if not number:
            return "Netra stops."
        return (
            f"Netra stops when {number} running execution{'s' * (number > 1)} ended, in at most "
            f"{DRAIN_SECONDS:.0f} s. Ctrl+C again hands them back at once."
        )

    async def stop(self) -> None:
        """Take no more work, send sockets away, hand back what runs, close the database.

        Whoever calls while it stops already waits for the same end.
        """
        if self._stopping is None:
            if not self.running:
                return
            self._stopping = asyncio.get_running_loop().create_task(
                self._stop(), name="netra-stop"
            )
        await asyncio.shield(self._stopping)

    async def _stop(self) -> None:
        self.stopped, self.ready = True, False
        # From here on /readyz says 503 and new sockets are told 4503.
        connections.refusing = GOING
        if self.starting is not None and not self.starting.done():
            self.starting.cancel()
            await asyncio.gather(self.starting, return_exceptions=True)
        # Where there are other servers, people go to them now. Where this is the only one
        # they hear the end of their answers here: there is nowhere else to go.
        if not self.sole:
            await connections.stop()
        await self._drain()
        await runner.stop(0)
        await connections.stop()
        await delivery.stop()
        if self._sweeper is not None:
            self._sweeper.close()
        hub.unwatch(tracker.ENDED, tracker.end_access)
        if self._relay is not None:
            await self._relay.stop()
        await watchdog.stop()
        hub.unbind()
        database.close()
        self.running = False
        self._stopping = None

    async def _drain(self) -> None:
        """Claim nothing more, and wait for what runs: until its end, a limit, or a second signal."""
        runner.accepting = False
        give_up = time.monotonic() + DRAIN_SECONDS
        # A signal's handler may set a plain flag, but not an event of the loop.
        while runner.running and not self._hurried and time.monotonic() < give_up:  # noqa: ASYNC110
            await asyncio.sleep(LOOK_SECONDS)


def _follow_clock() -> None:
    try:
        clock.follow()
    finally:
        close_old_connections()


def _relay() -> Relay:
    from channels.layers import get_channel_layer  # noqa: PLC0415 - only with Redis

    from apps.core.relay import Relay  # noqa: PLC0415 - see above

    return Relay(hub, get_channel_layer())


runtime = Runtime()
