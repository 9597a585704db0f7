"""What one socket and one person may do, as announced to the client. Facts only."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from apps.accounts.plans import Plan

FRAME_MAX = 512 * 1024  # bytes; larger frames are refused
MESSAGE_MAX = 2 * 1024 * 1024  # bytes; the server closes with 1009 beyond
PING_SECONDS = 25
DAPHNE_WINDOW = (
    4 * 1024 * 1024
)  # bytes that may be unacknowledged where sends never block
QUEUE_FRAMES = 256
QUEUE_BYTES = 1024 * 1024
SEND_SECONDS = 10.0
REPLAYS = (
    3  # pages that replays of one process read at once; the readers have more threads
)
WAITING_PER_THREAD = 5
HISTORY_MESSAGES = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The limits of one connection."""

    text_max: int
    frame_max: int = FRAME_MAX
    messages_per_minute: int
    connections: int
    idle_seconds: int
    ping_seconds: int = PING_SECONDS
    window: int | None = None

    @classmethod
    def of(cls, plan: Plan, *, window: int | None) -> Limits:
        return cls(
            text_max=plan.text_max,
            messages_per_minute=plan.messages_per_minute,
            connections=plan.connections,
            idle_seconds=plan.idle_seconds,
            window=window,
        )

    def announced(self) -> dict[str, object]:
        return asdict(self)
