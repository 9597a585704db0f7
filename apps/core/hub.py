"""The live hub: in one process, from whoever committed to whoever watches.

Carries hints only. A lost message costs a poll's time, never data. No storage here.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import TypeVar

log = logging.getLogger(__name__)

Watcher = Callable[[object], None]
Relay = Callable[[str, object], None]
Message = TypeVar("Message")

_crossing: dict[str, type] = {}


def crosses(message_type: type[Message]) -> type[Message]:
    """Mark a dataclass of plain values as a hint that other processes may be told too."""
    _crossing[message_type.__name__] = message_type
    return message_type


def crossing() -> dict[str, type]:
    """Name → class of everything that may leave the process."""
    return dict(_crossing)


class Hub:
    """Topics and their watchers. Watchers are called on the event loop, in order."""

    def __init__(self) -> None:
        self._watchers: dict[str, list[Watcher]] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: int | None = None
        self._box: deque[Callable[[], None]] = deque()
        self._woken = False
        self._draining = False
        self._lock = threading.Lock()
        self.relay: Relay | None = None
        self.on_first_watch: Callable[[str], None] | None = None
        self.on_last_unwatch: Callable[[str], None] | None = None

    def bind(self, loop: asyncio.AbstractEventLoop) -> None:
        """Deliver on `loop` from now on. Called on its own thread."""
        self._loop, self._thread = loop, threading.get_ident()
        with self._lock:
            self._woken = False
        self._wake()

    def unbind(self) -> None:
        self._loop = self._thread = None
        self._box.clear()

    @property
    def loop(self) -> asyncio.AbstractEventLoop | None:
        return self._loop

    def watch(self, topic: str, watcher: Watcher) -> None:
        watchers = self._watchers.setdefault(topic, [])
        watchers.append(watcher)
        if len(watchers) == 1 and self.on_first_watch is not None:
            self.on_first_watch(topic)

    def unwatch(self, topic: str, watcher: Watcher) -> None:
        watchers = self._watchers.get(topic, [])
        if watcher in watchers:
            watchers.remove(watcher)
        if watchers or self._watchers.pop(topic, None) is None:
            return
        if self.on_last_unwatch is not None:
            self.on_last_unwatch(topic)

    def topics(self) -> list[str]:
        return list(self._watchers)

    def publish(self, topic: str, message: object) -> None:
        """Tell this process and, where there are others, them too. From any thread."""
        if self.relay is not None:
            self.relay(topic, message)
        self.deliver(topic, message)

    def deliver(self, topic: str, message: object) -> None:
        """Tell the watchers in this process only."""
        self.run_on_loop(lambda: self._tell(topic, message))

    def run_on_loop(self, call: Callable[[], None]) -> None:
        """Run `call` on the loop, in order with everything else posted here."""
        if self._loop is None:
            return
        self._box.append(call)
        if threading.get_ident() != self._thread or self._woken:
            self._wake()
        elif (
            not self._draining
        ):  # else the outer call gets to it, after all its watchers
            self._drain()

    def _wake(self) -> None:
        with self._lock:
            if self._woken or self._loop is None or self._loop.is_closed():
                return
            try:
                self._loop.call_soon_threadsafe(self._drain)
            except RuntimeError:  # the loop closed just now: nobody is left to be told
                log.info("the hub's loop is closed", extra={"action": "hub.closed"})
                return
            self._woken = True

    def _drain(self) -> None:
        with self._lock:
            self._woken = False
        self._draining = True
        try:
            while self._box:
                self._call(self._box.popleft())
        finally:
            self._draining = False

    def _call(self, call: Callable[[], None]) -> None:
        try:
            call()
        except Exception:
            log.exception(
                "a hub watcher failed", extra={"action": "hub.watcher_failed"}
            )

    def _tell(self, topic: str, message: object) -> None:
        for watcher in tuple(self._watchers.get(topic, ())):
            self._call(partial(watcher, message))


hub = Hub()
