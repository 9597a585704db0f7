"""The answer while it is being said: joins pieces, and tells when they should go out or be kept."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import datetime

from apps.core.clock import clock

JOIN_SECONDS = 0.02  # pieces are joined over this time …
JOIN_CHARACTERS = 256  # … or up to this length
KEEP_SECONDS = 1.0  # between two checkpoints


class Speech:
    """The text of one attempt. `send` gets (offset in code points, piece); `keep` is told once a second."""

    def __init__(
        self, send: Callable[[int, str], None], keep: Callable[[], None]
    ) -> None:
        self.text = ""
        self.first_token_at: datetime | None = None
        self._send, self._keep = send, keep
        self._pushed = 0
        self._pushed_at = 0.0
        self._kept_at = time.monotonic()
        self._joining: asyncio.TimerHandle | None = None

    def say(self, text: str) -> None:
        """Add a piece; it goes out at once after a silence, joined with others otherwise."""
        if not text:
            return
        if self.first_token_at is None:
            self.first_token_at = clock.now()
        self.text += text
        waiting = len(self.text) - self._pushed
        silent = time.monotonic() - self._pushed_at
        if waiting >= JOIN_CHARACTERS or silent >= JOIN_SECONDS:
            self.push()
        elif self._joining is None:
            loop = asyncio.get_running_loop()
            self._joining = loop.call_later(JOIN_SECONDS, self.push)

    def push(self) -> None:
        """Send what did not go out yet."""
        self._stop_joining()
        offset, piece = self._pushed, self.text[self._pushed :]
        if not piece:
            return
        self._pushed, self._pushed_at = len(self.text), time.monotonic()
        self._send(offset, piece)
        if self._pushed_at - self._kept_at >= KEEP_SECONDS:
            self._kept_at = self._pushed_at
            self._keep()

    def close(self) -> None:
        self._stop_joining()

    def _stop_joining(self) -> None:
        if self._joining is not None:
            self._joining.cancel()
            self._joining = None
