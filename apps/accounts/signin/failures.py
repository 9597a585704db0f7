"""Wrong passwords and codes, gathered by source and minute: one entry of the trail for many tries.

Kept in memory for a minute, with bounds; what a crash takes with it is a minute's counts.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from apps.accounts.domains.names import domain_of
from apps.accounts.validity import owner_of_domain
from apps.audits import trail
from apps.audits.acts import Act, Outcome
from apps.core.actors import Actor
from apps.core.database import write_now
from apps.core.tenancy import tenant

MINUTE = 60.0
SOURCES_MOST = 200  # told apart in a minute and process; the rest are counted together
ACCOUNTS_MOST = 1000
OTHERS = ("others", "")
ACTOR = Actor.system("sign-in")


@dataclass(slots=True)
class Tries:
    """What came from one source for one mail domain within a minute."""

    count: int = 0
    accounts: set[str] = field(default_factory=set)  # digests, to count them

    def add(self, account: str) -> None:
        self.count += 1
        if len(self.accounts) < ACCOUNTS_MOST:
            self.accounts.add(hashlib.sha256(account.lower().encode()).hexdigest()[:16])

    def join(self, more: Tries) -> None:
        self.count += more.count
        self.accounts |= set(list(more.accounts)[: ACCOUNTS_MOST - len(self.accounts)])


class Failures:
    """The gathered tries of this process."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._lock = clock, threading.Lock()
        self._began = clock()
        self._tries: dict[tuple[str, str], Tries] = {}

    def note(self, source: str, account: str) -> None:
        """Count a try that failed."""
        key = (source or "unknown", domain_of(account)[:253])
        with self._lock:
            self._of(key).add(account)

    def put_back(self, untold: dict[tuple[str, str], Tries]) -> None:
        """Keep what could not be told for the next minute."""
        with self._lock:
            for key, tries in untold.items():
                self._of(key).join(tries)

    def _of(self, key: tuple[str, str]) -> Tries:
        if key not in self._tries and len(self._tries) >= SOURCES_MOST:
            key = OTHERS
        return self._tries.setdefault(key, Tries())

    def taken(self) -> dict[tuple[str, str], Tries]:
        """What was gathered, once a minute is over; nothing before."""
        with self._lock:
            if self._clock() - self._began < MINUTE:
                return {}
            self._began = self._clock()
            taken, self._tries = self._tries, {}
        return taken


failures = Failures()
note = failures.note


def tell() -> int:
    """Write what was gathered, each source where its mail domain belongs; returns how many entries."""
    untold = failures.taken()
    number = len(untold)
    try:
        for source, domain in list(untold):
            _tell(source, domain, untold[source, domain])
            del untold[source, domain]
    finally:
        failures.put_back(untold)
    return number


def _tell(source: str, domain: str, tries: Tries) -> None:
    place = owner_of_domain(domain) if domain else None

    def unit() -> None:
        trail.record(
            Act.SIGN_INS_FAILED,
            actor=ACTOR,
            organisation_id=place,
            target=f"source:{source}"[:120],
            outcome=Outcome.REFUSED,
            count=tries.count,
            accounts=len(tries.accounts),
            domain=domain if place else "",
        )

    write_now(tenant(place or trail.PLATFORM), unit)
