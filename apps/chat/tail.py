"""The end of an answer that another process writes, so that a snapshot reaches the present word.

Stored text is up to a second old; the pieces heard since then continue it.
"""

from __future__ import annotations

from apps.executions.events import TextDelta


class Tail:
    """What was heard of an answer that another process writes, without a gap up to its end."""

    def __init__(self, delta: TextDelta) -> None:
        self.execution_id, self.attempt = delta.execution_id, delta.attempt
        self.start = delta.offset
        self.end = delta.offset + len(delta.text)
        self._pieces = [delta.text]

    def add(self, delta: TextDelta) -> bool:
        """Take the next piece; False when it is none."""
        follows = (self.execution_id, self.attempt, self.end) == (
            delta.execution_id,
            delta.attempt,
            delta.offset,
        )
        if follows:
            self._pieces.append(delta.text)
            self.end += len(delta.text)
        return follows

    def continued(self, kept: str) -> str:
        """`kept`, which begins with the answer's first word, and what follows it here."""
        if not self.start <= len(kept) <= self.end:
            return kept
        return kept[: self.start] + "".join(self._pieces)
