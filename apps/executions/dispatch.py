"""Tells the workers that an execution waits, where the wiring has given a way to.

The pending row is the outbox: whatever is lost here is found by a worker's poll a second later.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable
from uuid import UUID

from apps.core.errors import UnavailableError

log = logging.getLogger(__name__)

QUEUE_LIMIT = 1000


class Dispatcher:
    """A thread that sends ids, so that neither a commit nor the event loop waits for the broker."""

    def __init__(self) -> None:
        self.publish: Callable[[UUID, UUID], None] | None = None
        self.lost = 0
        self.away = False
        self._waiting: queue.Queue[tuple[UUID, UUID]] = queue.Queue(QUEUE_LIMIT)
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()

    def send(self, execution_id: UUID, organisation_id: UUID) -> None:
        """Queue a message, from any thread; does nothing where no workers are."""
        if self.publish is None:
            return
        try:
            self._waiting.put_nowait((execution_id, organisation_id))
        except queue.Full:
            self.lost += 1
            return
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._send_for_ever, name="netra-dispatch", daemon=True
                )
                self._thread.start()

    def _send_for_ever(self) -> None:
        while True:
            self._send(*self._waiting.get())

    def _send(self, execution_id: UUID, organisation_id: UUID) -> None:
        assert self.publish is not None
        try:
            self.publish(execution_id, organisation_id)
        except UnavailableError as error:
            self.lost += 1
            self._tell(error.message)
        except Exception:
            log.exception("a dispatch failed", extra={"action": "dispatch.failed"})
        else:
            self._tell("")

    def _tell(self, trouble: str) -> None:
        """Log the first failure and the first success after it."""
        if bool(trouble) == self.away:
            return
        self.away = bool(trouble)
        log.warning(
            "%s",
            f"{trouble}; workers find executions by polling."
            if trouble
            else "The broker is back.",
            extra={"action": "dispatch.away" if trouble else "dispatch.back"},
        )


dispatcher = Dispatcher()
