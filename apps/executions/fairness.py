"""Who goes next when not everybody can: fair between organisations, within their limits. Pure.

Each organisation has a share by its tier; the next slot goes to whoever uses the least of its
share. Nobody starves, since a share that is not used counts for more and more.
"""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from apps.accounts.plans import Tier

SHARES: dict[Tier, int] = {
    Tier.FREE: 1,
    Tier.EARLY: 2,
    Tier.MID: 3,
    Tier.ENTERPRISE: 4,
    Tier.PLATFORM: 4,
}


@dataclass(frozen=True, slots=True)
class Limits:
    """How many executions may be claimed at once; None: as many as there are slots."""

    organisation: int | None = None
    user: int | None = None

    def allow(self, *, organisation: int, user: int) -> bool:
        """Whether one more may start where so many are claimed already."""
        return (self.organisation is None or organisation < self.organisation) and (
            self.user is None or user < self.user
        )


@dataclass(frozen=True, slots=True)
class Waiting:
    """An execution that could start."""

    id: UUID
    organisation_id: UUID
    user_id: UUID
    tier: Tier
    since: datetime


Claimed = Mapping[tuple[UUID, UUID], int]  # (organisation, user) → how many run


@dataclass(frozen=True, slots=True)
class Full:
    """Who has enough at work: these need not be looked at, however many of theirs wait."""

    organisations: frozenset[UUID]
    people: frozenset[tuple[UUID, UUID]]  # of other organisations


def full(claimed: Claimed, limits: Mapping[UUID, Limits]) -> Full:
    """Whom the limits let start nothing now."""
    used = _by_organisation(claimed)
    places = {
        key
        for key, number in used.items()
        if not limits.get(key, Limits()).allow(organisation=number, user=0)
    }
    people = {
        (key, user)
        for (key, user), number in claimed.items()
        if key not in places
        and not limits.get(key, Limits()).allow(organisation=used[key], user=number)
    }
    return Full(frozenset(places), frozenset(people))


def oldest(
    waiting: Iterable[Waiting],
    *,
    claimed: Claimed,
    limits: Mapping[UUID, Limits],
    free: int,
) -> list[UUID]:
    """The longest waiting first, whoever they belong to; only those at a limit are passed over."""
    users: Counter[tuple[UUID, UUID]] = Counter(claimed)
    used = _by_organisation(claimed)
    chosen: list[UUID] = []
    for one in sorted(waiting, key=lambda w: (w.since, w.id)):
        place, person = one.organisation_id, (one.organisation_id, one.user_id)
        allowed = limits.get(place, Limits())
        if len(chosen) >= free:
            break
        if allowed.allow(organisation=used[place], user=users[person]):
            chosen.append(one.id)
            used[place] += 1
            users[person] += 1
    return chosen


def _by_organisation(claimed: Claimed) -> Counter[UUID]:
    used: Counter[UUID] = Counter()
    for (organisation_id, _), number in claimed.items():
        used[organisation_id] += number
    return used


def choose(
    waiting: Iterable[Waiting],
    *,
    claimed: Claimed,
    limits: Mapping[UUID, Limits],
    free: int,
) -> list[UUID]:
    """At most `free` of those that wait, in the order in which they should start.

    Within an organisation the longest waiting goes first. One whose person is at the limit is
    passed over; it holds up nobody else.
    """
    users: Counter[tuple[UUID, UUID]] = Counter(claimed)
    used = _by_organisation(claimed)
    queues: dict[UUID, deque[Waiting]] = defaultdict(deque)
    for one in sorted(waiting, key=lambda w: (w.since, w.id)):
        place, person = one.organisation_id, (one.organisation_id, one.user_id)
        if limits.get(place, Limits()).allow(
            organisation=used[place], user=users[person]
        ):
            queues[place].append(one)
    heap = [
        (_load(queue[0], used), queue[0].since, key) for key, queue in queues.items()
    ]
    heapq.heapify(heap)
    chosen: list[UUID] = []
    while heap and len(chosen) < free:
        _, _, key = heapq.heappop(heap)
        following = _next(queues[key], users, used[key], limits.get(key, Limits()))
        if following is None:
            continue
        chosen.append(following.id)
        users[key, following.user_id] += 1
        used[key] += 1
        if queues[key]:
            first = queues[key][0]
            heapq.heappush(heap, (_load(first, used), first.since, key))
    return chosen


def _next(
    queue: deque[Waiting], users: Counter[tuple[UUID, UUID]], used: int, limits: Limits
) -> Waiting | None:
    """The longest waiting of one organisation that its limits let start."""
    while queue:
        one = queue.popleft()
        running = users[one.organisation_id, one.user_id]
        if limits.allow(organisation=used, user=running):
            return one
    return None


def _load(one: Waiting, used: Counter[UUID]) -> float:
    """How much of its share an organisation would use with one more."""
    return (used[one.organisation_id] + 1) / SHARES[one.tier]
