"""How a piece of work came out: an ending in words, or another attempt. Writes nothing."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import timedelta

from apps.core.errors import Explanation, NetraError
from apps.core.flags import Switch, enabled
from apps.executions.leased import LeasedExecution
from apps.executions.runners import Outcome
from apps.executions.standing import Ending
from apps.executions.states import ExecutionState

log = logging.getLogger(__name__)

BACK_OFF_SECONDS = (
    1.0  # before the second attempt; twice as long before each further one …
)
BACK_OFF_MOST = 5.0  # … up to this, unless a provider asks for more
FAULT = Explanation(
    "internal",
    "The agent stopped because of a fault in its program.",
    "Try again; support has been told.",
    retryable=True,
)


@dataclass(frozen=True, slots=True)
class Again:
    """The work failed for a passing reason; it may start anew after `wait`."""

    wait: timedelta
    reason: str
    breaker: str = ""  # the circuit breaker that counted the failure


def again(lease: LeasedExecution, error: Exception) -> Again | None:
    """Whether another attempt is due: nothing was said yet, and time and attempts are left."""
    standing = lease.standing
    if (
        not isinstance(error, NetraError)
        or not error.transient
        or lease.text
        or standing.attempt >= standing.max_attempts
        or not enabled(Switch.RETRIES, standing.organisation_id)
    ):
        return None
    seconds = back_off(standing.attempt, error.retry_after or 0.0)
    if seconds >= lease.seconds_left:
        return None
    return Again(
        timedelta(seconds=seconds),
        f"{error.code}; to be tried again",
        breaker=error.breaker,
    )


def back_off(attempt: int, asked: float) -> float:
    """Seconds to wait after the failure of `attempt`; a provider may have asked for more."""
    return max(min(BACK_OFF_SECONDS * float(2 ** (attempt - 1)), BACK_OFF_MOST), asked)


def timed_out(lease: LeasedExecution) -> Ending:
    seconds = lease.standing.timeout_seconds
    return Ending(
        state=ExecutionState.TIMEOUT,
        text=lease.text,
        first_token_at=lease.first_token_at,
        error_class="TimeoutError",
        explanation=Explanation(
            "timeout",
            f"The agent did not finish within {seconds} seconds.",
            "Ask again, or ask a smaller question.",
            retryable=True,
            values={"seconds": seconds, "tier": lease.standing.tier},
        ),
    )


def failed(lease: LeasedExecution, error: BaseException) -> Ending:
    if isinstance(error, NetraError):
        explanation = Explanation(
            error.code,
            storable(error.message),
            error.fix,
            error.retryable,
            error.values,
        )
    else:
        log.error(
            "work failed",
            exc_info=error,
            extra={"action": "execution.failed", "execution": str(lease.id)},
        )
        explanation = FAULT
    cause = error.__cause__ or error
    return Ending(
        state=ExecutionState.FAILED,
        text=lease.text,
        first_token_at=lease.first_token_at,
        breaker=error.breaker if isinstance(error, NetraError) else "",
        error_class=type(cause).__name__,
        error_detail=storable(f"{type(cause).__name__}: {cause}"[:4000]),
        explanation=explanation,
    )


def unstorable(ending: Ending, error: Exception) -> Ending:
    """What is told instead of an end that the database would not take."""
    return Ending(
        state=ExecutionState.FAILED,
        text=storable(ending.text),
        error_class=type(error).__name__,
        error_detail=storable(f"Its end was {ending.state}: {error}"[:4000]),
        explanation=FAULT,
    )


def storable(text: str) -> str:
    """`text` as every database takes it: without NUL and lone surrogates."""
    return text.replace("\x00", "\ufffd").encode("utf-8", "replace").decode()


def completed(lease: LeasedExecution, outcome: Outcome) -> Ending:
    return Ending(
        state=ExecutionState.COMPLETED,
        text=outcome.text,
        usage=outcome.usage,
        quality=outcome.quality,
        first_token_at=lease.first_token_at,
    )


def stopped(lease: LeasedExecution, by: str, reason: str) -> Ending:
    return Ending(
        state=ExecutionState.CANCELLED,
        text=lease.text,
        cancelled_by=by,
        first_token_at=lease.first_token_at,
        explanation=Explanation(
            "cancelled", reason or "It was stopped.", "Ask again when you like."
        ),
    )
