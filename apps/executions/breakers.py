"""Circuit breakers as rows that all processes share: read through a short cache, moved by compare-and-swap.

A breaker must never be what stops the work: while its rows are out of reach, calls pass.
"""

from __future__ import annotations

import asyncio
import logging
import random
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from typing import TypeVar
from uuid import UUID

from django.db import Error

from apps.audits import trail
from apps.audits.acts import Act
from apps.core.actors import Actor
from apps.core.clock import clock
from apps.core.database import read, write
from apps.core.errors import NetraError, UnavailableError
from apps.core.flags import Switch, enabled
from apps.core.tenancy import system
from apps.executions import circuit
from apps.executions.circuit import Admission, Circuit, CircuitState, Rules, Verdict
from apps.executions.models import Breaker

log = logging.getLogger(__name__)
Result = TypeVar("Result")
Change = Callable[[Circuit], tuple[Circuit, Result]]

FRESH = timedelta(seconds=1)  # how old what a process knows may be
STORE_SECONDS = 2.0  # that a call waits for the rows, at most
TRIES = 8  # of one compare-and-swap
KEYS_MAX = 512  # kept in one process, oldest dropped
KEY_LENGTH = 160
ERROR_LENGTH = 300
CLOSED = Circuit()
SCOPE = system("breakers: what providers did, of no organisation")
COLUMNS = tuple(Circuit.__dataclass_fields__)

unreachable: Counter[str] = Counter()  # what kept this process from the rows, how often


@dataclass(frozen=True, slots=True, kw_only=True)
class Permit:
    """A call may go out; its outcome is told with this. `token` marks the one that probes."""

    key: str
    token: UUID | None = None
    is_counted: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """A call may not go out for so many `seconds`; `is_pause`: because the provider asked for it."""

    key: str
    seconds: float
    is_pause: bool


@dataclass(slots=True)
class _Known:
    """What this process knows of one breaker, and has not told the others yet."""

    circuit: Circuit = CLOSED
    read_at: datetime | None = None
    told_at: datetime | None = None  # when a success was last written
    success_untold: bool = False
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    def is_fresh(self, now: datetime) -> bool:
        return self.read_at is not None and timedelta(0) <= now - self.read_at < FRESH


def key_of(provider: str, model: str, host: str = "") -> str:
    """Whose health a breaker speaks of. `host` where one provider's name means several servers."""
    return ":".join(part for part in (provider, host, model) if part)[:KEY_LENGTH]


class Breakers:
    """All breakers as one process sees them."""

    def __init__(
        self, *, rules: Rules | None = None, now: Callable[[], datetime] = clock.now
    ) -> None:
        self._rules = rules or Rules()
        self._now = now
        self._known: dict[str, _Known] = {}
        self._is_lost = False  # the rows, since the last look
        self._tasks: set[asyncio.Task[None]] = set()

    async def ask(self, key: str) -> Permit | Refusal:
        """Whether a call may go out now: one query a second for each key, and seldom a write."""
        if not enabled(Switch.BREAKERS):
            return Permit(key=key, is_counted=False)
        known = await self._look(key)
        if known is None:
            return Permit(key=key)
        token = uuid.uuid4()
        _, admission = self._admit(known.circuit, token)
        if admission.verdict is Verdict.PROBE:
            admission = (
                await self._change(key, partial(self._admit, token=token)) or _PASS
            )
        if admission.verdict is Verdict.REFUSED:
            seconds = admission.wait.total_seconds()
            return Refusal(key=key, seconds=seconds, is_pause=admission.is_pause)
        probes = admission.verdict is Verdict.PROBE
        return Permit(key=key, token=token if probes else None)

    async def succeeded(self, permit: Permit) -> None:
        """The call came to a good end. Writes nothing when there is nothing to put right."""
        known = self._known.get(permit.key)
        if not permit.is_counted or known is None:
            return
        now = self._now()
        if permit.token is None:
            if self._success(known.circuit, permit) == known.circuit:
                return
            if known.told_at is not None and now - known.told_at < FRESH:
                known.success_untold = True
                return
        known.told_at, known.success_untold = now, False
        await self._change(
            permit.key, lambda before: (self._success(before, permit), None)
        )

    async def failed(self, permit: Permit, error: str) -> bool:
        """The call failed in a way that counts; True when this failure opened the breaker."""
        if not permit.is_counted:
            return False
        known = self._of(permit.key)
        put_right, known.success_untold = known.success_untold, False

        def change(before: Circuit) -> tuple[Circuit, bool]:
            if put_right:
                before = self._success(before, Permit(key=permit.key))
            after = circuit.fail(
                before,
                error=error[:ERROR_LENGTH],
                token=permit.token,
                now=self._now(),
                rules=self._rules,
                chance=random.random(),  # noqa: S311 - spreads load, keeps no secret
            )
            return after, after.trips > before.trips

        opened = await self._change(permit.key, change)
        if opened:
            log.warning(
                "the breaker of %s opened: %s",
                permit.key,
                error,
                extra={"action": "breaker.opened"},
            )
        return bool(opened)

    async def paused(self, permit: Permit, seconds: float | None) -> None:
        """The provider asked to be left alone for `seconds`; it is well."""
        if not permit.is_counted:
            return
        if not seconds or seconds <= 0:
            self.let_go(permit)
            return
        wait = timedelta(seconds=min(seconds, self._rules.open_at_most.total_seconds()))

        def change(before: Circuit) -> tuple[Circuit, None]:
            now, rules = self._now(), self._rules
            return circuit.pause(
                before, wait=wait, token=permit.token, now=now, rules=rules
            ), None

        await self._change(permit.key, change)

    def let_go(self, permit: Permit) -> None:
        """The call ended without saying anything about the provider: stopped, or refused by it.

        Returns at once, since it is also called by whoever is being cancelled.
        """
        if permit.token is None:
            return
        task = asyncio.get_running_loop().create_task(self._release(permit))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _release(self, permit: Permit) -> None:
        await self._change(
            permit.key,
            lambda before: (circuit.release(before, token=permit.token), None),
        )

    def _admit(self, before: Circuit, token: UUID) -> tuple[Circuit, Admission]:
        return circuit.admit(before, token=token, now=self._now(), rules=self._rules)

    def _success(self, before: Circuit, permit: Permit) -> Circuit:
        return circuit.succeed(
            before, token=permit.token, now=self._now(), rules=self._rules
        )

    def _of(self, key: str) -> _Known:
        if key not in self._known:
            while len(self._known) >= KEYS_MAX:
                del self._known[next(iter(self._known))]
            self._known[key] = _Known()
        return self._known[key]

    async def _look(self, key: str) -> _Known | None:
        """The breaker as it was within the last second; None while the rows are out of reach."""
        known = self._of(key)
        async with known.lock:
            if not known.is_fresh(self._now()):
                found = await self._reach(read(SCOPE, lambda: _load(key)))
                # Out of reach, too, is known for a second: not every call waits for it.
                known.read_at = self._now()
                if found is not None:
                    known.circuit = found[0]
        return None if self._is_lost else known

    async def _change(self, key: str, change: Change[Result]) -> Result | None:
        """Change the row, decided on what is in it now; None when it is out of reach."""
        done = await self._reach(write(SCOPE, lambda: _swap(key, change, self._now())))
        if done is None:
            return None
        known = self._of(key)
        known.circuit, known.read_at = done[0], self._now()
        return done[1]

    async def _reach(self, work: Awaitable[Result]) -> Result | None:
        try:
            async with asyncio.timeout(STORE_SECONDS):
                result = await work
        except (Error, NetraError, TimeoutError) as error:
            unreachable[type(error).__name__] += 1
            if not self._is_lost:
                self._is_lost = True
                log.warning(
                    "the breakers are out of reach, calls pass: %r",
                    error,
                    extra={"action": "breaker.out_of_reach"},
                )
            return None
        self._is_lost = False
        return result


_PASS = Admission(Verdict.PASS)


def _load(key: str) -> tuple[Circuit, int]:
    """The breaker and its version; a closed one, version 0, where there is no row."""
    row = Breaker.objects.filter(key=key).values(*COLUMNS, "version").first()
    if row is None:
        return CLOSED, 0
    version = row.pop("version")
    return Circuit(**row | {"state": CircuitState(row["state"])}), version


def _swap(key: str, change: Change[Result], now: datetime) -> tuple[Circuit, Result]:
    """Inside a unit: change the row unless somebody else did first, then decide again."""
    for _ in range(TRIES):
        before, version = _load(key)
        after, said = change(before)
        if after == before or _put(key, after, version, now):
            return after, said
    raise UnavailableError(f"the breaker of {key!r} changes too fast")


def _put(key: str, after: Circuit, version: int, now: datetime) -> bool:
    values = asdict(after) | {"version": version + 1, "updated_at": now}
    if version == 0:
        _, created = Breaker.objects.get_or_create(key=key, defaults=values)
        return created
    return Breaker.objects.filter(key=key, version=version).update(**values) == 1


def close_now(key: str, *, actor: Actor, reason: str) -> bool:
    """Close a breaker by hand, inside a unit; False when it was closed. Others follow in a second."""

    def change(before: Circuit) -> tuple[Circuit, bool]:
        if before.state is CircuitState.CLOSED:
            return before, False
        said = f"closed by {actor.label}: {reason}"[:ERROR_LENGTH]
        return replace(circuit.close(before), last_error=said), True

    closed = _swap(key, change, clock.now())[1]
    if closed:
        trail.record(
            Act.BREAKER_CHANGED,
            actor=actor,
            organisation_id=None,
            target=f"breaker:{key}"[:120],
            after="closed",
            reason=reason[:ERROR_LENGTH],
        )
    return closed


breakers = Breakers()
