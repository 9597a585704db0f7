"""A worker process: one event loop in a thread for all executions, Celery in front of it."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
import threading
from collections.abc import Coroutine, Iterator
from concurrent.futures import Future
from typing import Any

from celery.signals import worker_shutting_down

from apps.executions.runner import DRAIN_SECONDS, runner
from netra.celery import app
from netra.runtime import runtime

# What runs drains first; then it is handed back, and connections are closed.
STOP_SECONDS = DRAIN_SECONDS + 12


class LoopThread:
    """An event loop that runs in a thread of its own."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self.loop.run_forever, name="netra-loop", daemon=True
        )
        self._thread.start()

    def begin(self, work: Coroutine[Any, Any, None]) -> Future[None]:
        return asyncio.run_coroutine_threadsafe(work, self.loop)

    def close(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(STOP_SECONDS)
        self.loop.close()


def work(concurrency: int) -> int:
    """Run agents until a signal ends it; returns the exit code.

    The runner starts before Celery knows its broker: with Redis away it finds work by its poll.
    """
    runner.capacity = concurrency
    with _running():
        worker = app.Worker(
            pool="threads",
            concurrency=concurrency,
            loglevel="WARNING",
            quiet=True,
            # Workers know of each other what stands in the rows.
            without_gossip=True,
            without_mingle=True,
            without_heartbeat=True,
        )
        worker.start()
    return worker.exitcode or 0


@contextlib.contextmanager
def _running() -> Iterator[None]:
    """The runtime on a loop of its own, told to drain as soon as Celery is told to stop."""
    runtime.run_agents, runtime.serve_people = True, False
    thread = LoopThread()
    # Until Celery has handlers of its own: what is claimed by then is drained too.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: sys.exit(0))

    def drain(**_: Any) -> None:
        if stopping:
            return
        sys.stderr.write(runtime.farewell() + "\n")
        stopping.append(thread.begin(runtime.stop()))
        # Celery would cancel or, after a nap, cut off; handing back is quicker, and loses nothing.
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGQUIT):
            signal.signal(number, lambda *_: runtime.hurry())

    stopping: list[Future[None]] = []
    worker_shutting_down.connect(drain)
    try:
        thread.begin(runtime.start()).result()
        yield
    finally:
        worker_shutting_down.disconnect(drain)
        if not stopping:
            drain()
        for future in stopping:
            future.result(STOP_SECONDS)
        thread.close()
