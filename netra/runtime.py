"""What runs beside the requests of a server, or in a worker: runner, sweeper, relay, delivery."""

from __future__ import annotations

import asyncio
import gc
import logging
from functools import partial
from typing import TYPE_CHECKING

from django.conf import settings

from apps.chat.connections import connections
from apps.chat.delivery import delivery
from apps.core import database
from apps.core.hub import hub
from apps.executions import recovery, runners
from apps.executions.runner import runner

if TYPE_CHECKING:
    from apps.core.relay import Relay

log = logging.getLogger(__name__)

GC_THRESHOLD = (
    20_000,
    20,
    50,
)  # a turn makes many short-lived objects; look less often


class Runtime:
    """Started once for each process, on its event loop."""

    def __init__(self) -> None:
        self.running = False
        self.stopped = False
        self.run_agents = not settings.NETRA_REDIS_URL  # else the workers do
        self.serve_people = True
        self.sole = (
            False  # one process only, so whatever is claimed at start has no runner
        )
        self.starting: asyncio.Task[None] | None = None
        self._stopping = False
        self._sweeper: recovery.Sweeper | None = None
        self._relay: Relay | None = None

    async def start(self) -> None:
        """Bind the hub, recover orphans where this is the only process, begin to work."""
        if self.running:
            return
        self.running, self.stopped = True, False
        loop = asyncio.get_running_loop()
        hub.bind(loop)
        if settings.NETRA_REDIS_URL:
            self._relay = _relay()
            self._relay.start()
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
        if self.run_agents:
            await runner.start()
        self._sweeper = recovery.Sweeper()
        self._sweeper.start()
        if self.serve_people:
            delivery.start()
            connections.start()
        if self.run_agents:
            await loop.run_in_executor(None, runners.load_all)
        # What is loaded by now stays: the collector need not walk it again and again.
        gc.collect()
        gc.freeze()
        gc.set_threshold(*GC_THRESHOLD)

    async def stop(self) -> None:
        """Take no more work, send sockets away, hand back what runs, close the database."""
        if not self.running or self._stopping:
            return
        self._stopping = self.stopped = True
        await runner.stop()
        await connections.stop()
        await delivery.stop()
        if self._sweeper is not None:
            self._sweeper.close()
        if self._relay is not None:
            await self._relay.stop()
        hub.unbind()
        database.close()
        self.running = self._stopping = False


def _relay() -> Relay:
    from channels.layers import get_channel_layer  # noqa: PLC0415 - only with Redis

    from apps.core.relay import Relay  # noqa: PLC0415 - see above

    return Relay(hub, get_channel_layer())


runtime = Runtime()
