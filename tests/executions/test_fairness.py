"""Who goes next: within the limits, fair between organisations, nobody starves."""

from __future__ import annotations

import uuid
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.accounts.plans import Tier
from apps.executions.fairness import SHARES, Limits, Waiting, choose, full, oldest

START = datetime(2026, 1, 1, tzinfo=UTC)
ORGANISATIONS = [uuid.UUID(int=n) for n in range(1, 5)]
USERS = [uuid.UUID(int=n) for n in range(101, 105)]
FREE, PAYING = ORGANISATIONS[0], ORGANISATIONS[1]


def waiting(
    organisation: uuid.UUID,
    number: int,
    *,
    user: uuid.UUID = USERS[0],
    tier: Tier = Tier.MID,
    after: int = 0,
) -> list[Waiting]:
    return [
        Waiting(
            uuid.uuid4(), organisation, user, tier, START + timedelta(seconds=after + n)
        )
        for n in range(number)
    ]


def owners(chosen: list[uuid.UUID], everything: list[Waiting]) -> list[uuid.UUID]:
    by_id = {one.id: one.organisation_id for one in everything}
    return [by_id[key] for key in chosen]


def test_a_flood_of_one_organisation_does_not_hold_up_another() -> None:
    flood = waiting(FREE, 500)
    one = waiting(PAYING, 1, after=1000)

    chosen = choose([*flood, *one], claimed={}, limits={}, free=2)

    assert one[0].id in chosen


def test_a_slot_goes_to_whoever_uses_least_of_their_share() -> None:
    everything = waiting(FREE, 20, tier=Tier.FREE) + waiting(
        PAYING, 20, tier=Tier.ENTERPRISE
    )

    taken = Counter(
        owners(choose(everything, claimed={}, limits={}, free=10), everything)
    )

    assert taken[PAYING] / taken[FREE] == pytest.approx(
        SHARES[Tier.ENTERPRISE] / SHARES[Tier.FREE], rel=0.3
    )


def test_who_has_much_at_work_waits_for_those_who_have_nothing() -> None:
    everything = waiting(FREE, 3) + waiting(PAYING, 3, after=50)
    claimed = {(FREE, USERS[0]): 5}

    chosen = choose(everything, claimed=claimed, limits={}, free=3)

    assert owners(chosen, everything) == [PAYING] * 3


def test_within_an_organisation_the_longest_waiting_goes_first() -> None:
    everything = waiting(FREE, 5)

    assert choose(reversed(everything), claimed={}, limits={}, free=3) == [
        one.id for one in everything[:3]
    ]


def test_who_is_at_the_limit_holds_up_nobody_of_the_same_organisation() -> None:
    full, free = waiting(FREE, 4), waiting(FREE, 1, user=USERS[1], after=60)
    limits = {FREE: Limits(organisation=10, user=2)}

    chosen = choose(
        [*full, *free], claimed={(FREE, USERS[0]): 2}, limits=limits, free=5
    )

    assert chosen == [free[0].id]


def test_an_organisation_at_its_limit_starts_nothing() -> None:
    limits = {FREE: Limits(organisation=3, user=5)}
    claimed = {(FREE, USERS[0]): 1, (FREE, USERS[1]): 2}

    assert choose(waiting(FREE, 4), claimed=claimed, limits=limits, free=9) == []


one_waiting = st.builds(
    Waiting,
    st.uuids(),
    st.sampled_from(ORGANISATIONS),
    st.sampled_from(USERS),
    st.sampled_from(Tier),
    st.integers(0, 50).map(lambda n: START + timedelta(seconds=n)),
)
person = st.tuples(st.sampled_from(ORGANISATIONS), st.sampled_from(USERS))
some_limits = st.builds(
    Limits, st.none() | st.integers(1, 6), st.none() | st.integers(1, 3)
)


@given(
    st.sampled_from([choose, oldest]),
    st.lists(one_waiting, max_size=40, unique_by=lambda w: w.id),
    st.dictionaries(person, st.integers(0, 4), max_size=6),
    st.dictionaries(st.sampled_from(ORGANISATIONS), some_limits),
    st.integers(0, 20),
)
def test_limits_hold_and_no_slot_is_wasted(
    rule, everything, claimed, limits, free
) -> None:
    chosen = rule(everything, claimed=claimed, limits=limits, free=free)

    assert len(set(chosen)) == len(chosen) <= free
    people, places = Counter(claimed), Counter()
    for (organisation, _), number in claimed.items():
        places[organisation] += number
    for one in (w for w in everything if w.id in set(chosen)):
        people[one.organisation_id, one.user_id] += 1
        places[one.organisation_id] += 1
    for organisation, allowed in limits.items():
        before = sum(n for (o, _), n in claimed.items() if o == organisation)
        if places[organisation] > before and allowed.organisation is not None:
            assert places[organisation] <= allowed.organisation
    if len(chosen) < free:  # whoever was left out may not start
        for one in (w for w in everything if w.id not in set(chosen)):
            allowed = limits.get(one.organisation_id, Limits())
            assert not allowed.allow(
                organisation=places[one.organisation_id],
                user=people[one.organisation_id, one.user_id],
            )


@given(
    st.lists(one_waiting, max_size=40, unique_by=lambda w: w.id),
    st.dictionaries(person, st.integers(1, 4), max_size=6),
    st.dictionaries(st.sampled_from(ORGANISATIONS), some_limits),
)
def test_leaving_out_who_has_enough_changes_nothing(
    everything, claimed, limits
) -> None:
    enough = full(claimed, limits)
    others = [
        w
        for w in everything
        if w.organisation_id not in enough.organisations
        and (w.organisation_id, w.user_id) not in enough.people
    ]

    for rule in (choose, oldest):
        assert rule(others, claimed=claimed, limits=limits, free=9) == rule(
            everything, claimed=claimed, limits=limits, free=9
        )
