"""The state machine of a circuit breaker. Pure: times, tokens and chance are given, nothing is stored.

Rows and processes belong to `breakers`; which errors count, to whoever calls the provider.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

RATE_LIMITED = "rate limited"  # the last error of a pause that the provider asked for
NOTHING = timedelta(0)


class CircuitState(StrEnum):
    """Whether calls pass."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


C = CircuitState


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """When a circuit opens, for how long, and what closes it again."""

    failures: int = 3  # in a row, to open
    successes: int = 2  # of probes in a row, to close
    open_for: timedelta = timedelta(seconds=30)  # doubled each time a probe fails …
    open_at_most: timedelta = timedelta(minutes=5)  # … up to this
    jitter: float = 0.1  # so that installations do not come back all at once
    probe_for: timedelta = timedelta(seconds=60)  # then another call may probe
    ask_again: timedelta = timedelta(seconds=5)  # said to calls that meet a probe


@dataclass(frozen=True, slots=True, kw_only=True)
class Circuit:
    """Where a breaker stands."""

    state: CircuitState = C.CLOSED
    failures: int = 0
    successes: int = 0
    opened_at: datetime | None = None
    open_until: datetime | None = None
    probe_token: UUID | None = None
    probe_until: datetime | None = None
    trips: int = 0
    last_error: str = ""

    @property
    def is_pause(self) -> bool:
        """Open because the provider asked for it, not because it failed."""
        return self.state is C.OPEN and self.last_error == RATE_LIMITED


class Verdict(StrEnum):
    """What becomes of a call."""

    PASS = "pass"  # noqa: S105 - no password
    PROBE = "probe"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Admission:
    """The answer to a call that wants to pass; `wait` belongs to a refusal."""

    verdict: Verdict
    wait: timedelta = NOTHING
    is_pause: bool = False


def admit(
    circuit: Circuit, *, token: UUID, now: datetime, rules: Rules
) -> tuple[Circuit, Admission]:
    """Whether a call may pass now. The one that probes a half-open circuit holds `token`."""
    if _passes(circuit, now):
        return circuit, Admission(Verdict.PASS)
    if circuit.state is C.OPEN:
        wait = _until(circuit.open_until, now)
        if wait > NOTHING:
            return circuit, Admission(Verdict.REFUSED, wait, circuit.is_pause)
    elif circuit.probe_token is not None and _until(circuit.probe_until, now) > NOTHING:
        wait = min(_until(circuit.probe_until, now), rules.ask_again)
        return circuit, Admission(Verdict.REFUSED, wait)
    fresh = circuit.state is C.OPEN
    probing = Circuit(
        state=C.HALF_OPEN,
        failures=circuit.failures,
        successes=0 if fresh else circuit.successes,
        opened_at=circuit.opened_at,
        open_until=circuit.open_until,
        probe_token=token,
        probe_until=now + rules.probe_for,
        trips=circuit.trips,
        last_error=circuit.last_error,
    )
    return probing, Admission(Verdict.PROBE)


def succeed(
    circuit: Circuit, *, token: UUID | None, now: datetime, rules: Rules
) -> Circuit:
    """A call came to a good end. Late ones of a circuit that opened meanwhile say nothing."""
    if _passes(circuit, now):
        return close(circuit)
    if not _is_probe(circuit, token):
        return circuit
    successes = circuit.successes + 1
    if successes >= rules.successes:
        return close(circuit)
    return replace(circuit, successes=successes, probe_token=None, probe_until=None)


def fail(
    circuit: Circuit,
    *,
    error: str,
    token: UUID | None,
    now: datetime,
    rules: Rules,
    chance: float,
) -> Circuit:
    """A call failed in a way that counts. `chance`, from 0 to 1, decides the jitter."""
    if _is_probe(circuit, token):
        return _opened(circuit, error, _longer(circuit, rules), now, rules, chance)
    if not _passes(circuit, now):
        return circuit
    failed = replace(close(circuit), failures=circuit.failures + 1, last_error=error)
    if failed.failures < rules.failures:
        return failed
    return _opened(failed, error, rules.open_for, now, rules, chance)


def pause(
    circuit: Circuit,
    *,
    wait: timedelta,
    token: UUID | None,
    now: datetime,
    rules: Rules,
) -> Circuit:
    """The provider is well but asked to be left alone for a while: no failure, and no trip."""
    if not (_passes(circuit, now) or circuit.is_pause or _is_probe(circuit, token)):
        return circuit
    until = now + min(wait, rules.open_at_most)
    if circuit.is_pause and circuit.open_until is not None:
        until = max(until, circuit.open_until)
    if until <= now:
        return release(circuit, token=token)
    return Circuit(
        state=C.OPEN,
        failures=circuit.failures,
        opened_at=now,
        open_until=until,
        trips=circuit.trips,
        last_error=RATE_LIMITED,
    )


def release(circuit: Circuit, *, token: UUID | None) -> Circuit:
    """The probe ended without an answer, so another may probe."""
    if not _is_probe(circuit, token):
        return circuit
    return replace(circuit, probe_token=None, probe_until=None)


def close(circuit: Circuit) -> Circuit:
    """Closed and well; how often it opened, and why last, is kept."""
    return Circuit(trips=circuit.trips, last_error=circuit.last_error)


def _passes(circuit: Circuit, now: datetime) -> bool:
    """Closed, or paused by a provider whose time is up: that one never was ill."""
    if circuit.state is C.CLOSED:
        return True
    return circuit.is_pause and _until(circuit.open_until, now) <= NOTHING


def _is_probe(circuit: Circuit, token: UUID | None) -> bool:
    return (
        circuit.state is C.HALF_OPEN
        and token is not None
        and circuit.probe_token == token
    )


def _opened(
    circuit: Circuit,
    error: str,
    wait: timedelta,
    now: datetime,
    rules: Rules,
    chance: float,
) -> Circuit:
    wait = min(wait, rules.open_at_most) * (1 + rules.jitter * (2 * chance - 1))
    return Circuit(
        state=C.OPEN,
        failures=circuit.failures,
        opened_at=now,
        open_until=now + min(wait, rules.open_at_most),
        trips=circuit.trips + 1,
        last_error=error,
    )


def _longer(circuit: Circuit, rules: Rules) -> timedelta:
    """Twice the last wait, whose jitter is taken out so that it does not add up."""
    if circuit.opened_at is None or circuit.open_until is None:
        return rules.open_for
    before = (circuit.open_until - circuit.opened_at) / rules.open_for
    doublings = max(0, round(math.log2(before))) if before > 0 else 0
    return rules.open_for * (1 << (doublings + 1))


def _until(moment: datetime | None, now: datetime) -> timedelta:
    return NOTHING if moment is None else moment - now
