"""What runs beside the requests of a server process: runner, sweeper, delivery, connections."""

from __future__ import annotations

import asyncio
import gc
import logging
from functools import partial

from apps.chat.connections import connections
from apps.chat.delivery import delivery
from apps.core import database
from apps.core.hub import hub
from apps.executions import recovery, runners
from apps.executions.runner import runner

log = logging.getLogger(__name__)


class Runtime:
    """Started once for each server process, on its event loop."""

    def __init__(self) -> None:
        self.running = False
        self.run_agents = True
        self.sole = (
            False  # one process only, so whatever is claimed at start has no runner
        )
        self.starting: asyncio.Task[None] | None = None
        self._sweeper: recovery.Sweeper | None = None

    async def start(self) -> None:
        """Bind the hub, recover orphans where this is the only process, begin to work."""
        if self.running:
            return
        self.running = True
        loop = asyncio.get_running_loop()
        hub.bind(loop)
        if self.sole:
            found = await loop.run_in_executor(
                None, partial(recovery.recover_orphans, runner.boot_id)
            )
            if found:
                log.warning(
                    "%d executions had lost their runner",
                    found,
                    extra={"action": "recovery.orphans"},
                )
        if self.run_agents:
            await runner.start()
        self._sweeper = recovery.Sweeper()
        self._sweeper.start()
        delivery.start()
        connections.start()
        if self.run_agents:
            await loop.run_in_executor(None, runners.load_all)
        # What is loaded by now stays: the collector need not walk it again and again.
        gc.collect()
        gc.freeze()

    async def stop(self) -> None:
        """Take no more work, send sockets away, hand back what runs, close the database."""
        if not self.running:
            return
        await runner.stop()
        await connections.stop()
        await delivery.stop()
        if self._sweeper is not None:
            self._sweeper.close()
        hub.unbind()
        database.close()
        self.running = False


runtime = Runtime()
