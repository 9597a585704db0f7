"""Claims: fair, within the limits of persons and organisations, each execution once."""

from __future__ import annotations

import threading
from collections import Counter
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from apps.accounts.models import Organisation
from apps.core.database import write_now
from apps.core.flags import Switch
from apps.executions import concurrency, queries
from apps.executions.models import Execution
from apps.executions.runner import POLL, Runner
from apps.executions.states import ExecutionState
from tests import factories
from tests.factories import TESTS
from tests.invariants import violations

pytestmark = [pytest.mark.django_db, pytest.mark.mission_critical]


@pytest.fixture(autouse=True)
def fresh_limits() -> None:
    concurrency.forget()


def wait(who, number: int) -> list:
    return [factories.execution(who) for _ in range(number)]


def turn(limit: int = 200) -> list:
    with TESTS:
        return queries.claimable(timezone.now() + timedelta(seconds=1), limit)


def claim_all(runner: Runner) -> Counter:
    """Claim as a runner's poll does; returns how many each person got."""
    taken: Counter = Counter()
    for standing in turn():
        claimed = write_now(POLL, lambda s=standing: runner._claim_one(s))
        if claimed is not None:
            taken[claimed.user_id] += 1
    return taken


def test_a_person_has_five_at_work_and_an_organisation_ten(
    alice_principal, bob_principal, mallory_principal, acme
) -> None:
    carol = factories.principal(factories.person("carol@acme.example", acme), acme)
    for who in (alice_principal, bob_principal, carol, mallory_principal):
        wait(who, 7)

    taken = claim_all(Runner())

    assert taken[mallory_principal.user_id] == 5
    acme_people = [who.user_id for who in (alice_principal, bob_principal, carol)]
    assert sum(taken[user] for user in acme_people) == 10
    assert max(taken.values()) == 5
    assert turn() == []
    assert violations() == []


def test_a_place_that_becomes_free_is_taken(alice_principal) -> None:
    wait(alice_principal, 6)
    runner = Runner()
    claim_all(runner)
    assert turn() == []

    with TESTS:
        row = Execution.objects.filter(state=ExecutionState.STARTING).first()
        standing = queries.standing_of(row.id)
    factories.finish(standing)

    assert claim_all(runner) == {alice_principal.user_id: 1}


def test_an_organisations_own_figure_counts_before_its_tiers(
    alice_principal, acme
) -> None:
    Organisation.objects.filter(pk=acme.pk).update(concurrent_executions=2)
    wait(alice_principal, 4)

    assert claim_all(Runner()).total() == 2


@pytest.mark.parametrize("switch", [Switch.CONCURRENCY_LIMITS, Switch.FAIRNESS])
def test_each_rule_can_be_switched_off(switch, alice_principal, monkeypatch) -> None:
    off = {switch}
    for module in (concurrency, queries):
        monkeypatch.setattr(module, "enabled", lambda s, *_: s not in off)
    standings = wait(alice_principal, 8)

    expected = 8 if switch is Switch.CONCURRENCY_LIMITS else 5
    if switch is Switch.FAIRNESS:  # oldest first, whoever they belong to
        assert [s.id for s in turn()] == [s.id for s in standings[:5]]
    assert claim_all(Runner()).total() == expected


def test_without_limits_nobody_is_counted(alice_principal, settings) -> None:
    settings.NETRA_LIMITS = False
    wait(alice_principal, 12)

    assert claim_all(Runner()).total() == 12


def test_a_stranger_goes_before_the_rest_of_a_flood(
    alice_principal, mallory_principal
) -> None:
    wait(alice_principal, 30)
    (late,) = wait(mallory_principal, 1)

    assert late.id in {standing.id for standing in turn(2)}


def test_without_fairness_who_is_at_the_limit_still_holds_up_nobody(
    alice_principal, mallory_principal, monkeypatch
) -> None:
    monkeypatch.setattr(queries, "enabled", lambda s, *_: s is not Switch.FAIRNESS)
    wait(alice_principal, 9)
    (late,) = wait(mallory_principal, 1)

    chosen = turn(6)

    assert [s.user_id for s in chosen[:5]] == [alice_principal.user_id] * 5
    assert [s.id for s in chosen[5:]] == [late.id]


@pytest.mark.parametrize("fair", [True, False])
def test_a_flood_of_a_full_organisation_hides_nobody(
    fair, alice_principal, bob_principal, mallory_principal, acme, monkeypatch
) -> None:
    """However many wait there: only so many are weighed against each other at once."""
    monkeypatch.setattr(queries, "enabled", lambda *_: fair)
    monkeypatch.setattr(queries, "CANDIDATES", 3)
    Organisation.objects.filter(pk=acme.pk).update(concurrent_executions=1)
    carol = factories.principal(factories.person("carol@acme.example", acme), acme)
    factories.claimed(alice_principal)
    for who in (alice_principal, bob_principal, carol):
        wait(who, 2)
    (late,) = wait(mallory_principal, 1)

    assert [standing.id for standing in turn()] == [late.id]


def test_a_flood_of_a_full_person_hides_nobody(
    alice_principal, bob_principal, monkeypatch
) -> None:
    monkeypatch.setattr(queries, "enabled", lambda s, *_: s is not Switch.FAIRNESS)
    monkeypatch.setattr(queries, "CANDIDATES", 3)
    for _ in range(5):
        factories.claimed(alice_principal)
    wait(alice_principal, 4)
    (late,) = wait(bob_principal, 1)

    assert [standing.id for standing in turn()] == [late.id]


def test_limits_that_are_forgotten_meanwhile_still_hold(
    acme, globex, alice_principal, monkeypatch
) -> None:
    with TESTS:
        assert concurrency.limits_of(acme.pk).user == 5
        monkeypatch.setattr(
            concurrency, "REMEMBER_LIMIT", 1
        )  # the next look is one too many
        both = concurrency.limits_for([acme.pk, globex.pk])

    assert {limits.user for limits in both.values()} == {5}


@pytest.mark.usefixtures("committed")
def test_two_processes_do_not_both_take_the_last_place(alice_principal) -> None:
    """Eight claim at once; each saw the same room before it claimed."""
    standings = wait(alice_principal, 8)
    taken: list[object] = []
    ready = threading.Barrier(8)

    def claim(standing) -> None:
        try:
            ready.wait(10)
            taken.append(write_now(POLL, lambda: Runner()._claim_one(standing)))
        finally:
            connection.close()

    threads = [threading.Thread(target=claim, args=(s,)) for s in standings]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    assert len(taken) == 8
    assert sum(claimed is not None for claimed in taken) == 5
    assert violations() == []


@pytest.mark.usefixtures("committed")
def test_one_execution_is_claimed_once_however_many_want_it(alice_principal) -> None:
    (standing,) = wait(alice_principal, 1)
    taken: list[object] = []
    ready = threading.Barrier(6)

    def claim() -> None:
        try:
            ready.wait(10)
            taken.append(write_now(POLL, lambda: Runner()._claim_one(standing)))
        finally:
            connection.close()

    threads = [threading.Thread(target=claim) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    assert sum(claimed is not None for claimed in taken) == 1
    assert violations() == []
