"""The sweep: whatever nobody looks after is brought to pending or to an end, once."""

from __future__ import annotations

import threading
import uuid
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from apps.audits.models import Receipt
from apps.core import sweeps
from apps.executions import actions, queries, recovery
from apps.executions.models import Attempt, Content
from apps.executions.states import ExecutionState
from tests import factories
from tests.factories import TESTS
from tests.invariants import violations

pytestmark = [pytest.mark.django_db, pytest.mark.mission_critical]
S = ExecutionState
SECOND = timedelta(seconds=1)


def last_event(standing):
    with TESTS:
        return queries.events_after(standing.stream_id, 0)[-1]


def test_a_sweep_over_nothing_and_over_healthy_work_moves_nothing(
    alice_principal,
) -> None:
    now = timezone.now()
    assert recovery.sweep(now) == 0
    standings = [
        factories.execution(alice_principal, now=now),
        factories.running(alice_principal, now=now),
    ]
    before = [factories.rows(standing) for standing in standings]

    assert recovery.sweep(now + SECOND) == 0
    assert [factories.rows(standing) for standing in standings] == before


def test_a_lost_lease_leads_back_to_pending_without_waiting(alice_principal) -> None:
    now = timezone.now()
    standing = factories.running(alice_principal, now=now, timeout_seconds=300)
    later = now + actions.LEASE + SECOND

    assert recovery.sweep(later) == 1

    row = factories.row(standing)
    assert (row.state, row.attempt, row.fence, row.lease_token) == (
        "pending",
        2,
        1,
        None,
    )
    assert row.available_at == later
    with TESTS:
        assert [s.id for s in queries.claimable(later, 5)] == [standing.id]
        assert Attempt.objects.get(execution_id=standing.id).outcome == "lost"
    assert violations() == []


def test_a_lease_that_is_not_over_is_left_alone(alice_principal) -> None:
    now = timezone.now()
    factories.running(alice_principal, now=now, timeout_seconds=300)

    assert recovery.sweep(now + actions.LEASE - SECOND) == 0


def test_after_the_last_attempt_it_is_dead_and_explained(alice_principal) -> None:
    now = timezone.now()
    standing = factories.execution(
        alice_principal, now=now, timeout_seconds=3000, max_attempts=3
    )
    for _ in range(3):
        factories.claim(factories.present(standing), now=now)
        now += actions.LEASE + SECOND
        assert recovery.sweep(now) == 1

    row = factories.row(standing)
    assert (row.state, row.attempt, row.fence, row.error_code) == ("dead", 3, 3, "dead")
    assert last_event(standing).payload["code"] == "dead"
    with TESTS:
        assert "3 times" in Receipt.objects.get(id=row.receipt_id).explanation
    assert recovery.sweep(now + SECOND) == 0
    assert violations() == []


@pytest.mark.parametrize("phase_of_life", ["starting", "running", "completing"])
def test_the_deadline_ends_what_still_runs_and_keeps_its_text(
    phase_of_life, alice_principal
) -> None:
    now = timezone.now()
    standing = factories.claimed(alice_principal, now=now, timeout_seconds=20)
    if phase_of_life != "starting":
        standing = factories.move(standing, S.RUNNING)
        factories.unit(standing, lambda: actions.checkpoint(
            standing, text="as far as it came", first_token_at=now, now=now,
        ))  # fmt: skip
    if phase_of_life == "completing":
        standing = factories.move(standing, S.COMPLETING)

    assert recovery.sweep(now + timedelta(seconds=21)) == 0  # its runner may end it
    assert recovery.sweep(now + timedelta(seconds=23)) == 1

    row = factories.row(standing)
    assert (row.state, row.error_code) == ("timeout", "timeout")
    payload = last_event(standing).payload
    assert (payload["code"], payload["retryable"]) == ("timeout", True)
    with TESTS:
        kept = Content.objects.get(execution_id=standing.id).output
    assert kept == ("" if phase_of_life == "starting" else "as far as it came")
    assert violations(now + timedelta(seconds=120)) == []


def test_a_deadline_passes_also_while_it_waits_for_another_attempt(
    alice_principal,
) -> None:
    now = timezone.now()
    standing = factories.running(alice_principal, now=now, timeout_seconds=40)
    recovery.sweep(now + actions.LEASE + SECOND)
    assert factories.row(standing).state == "pending"

    recovery.sweep(now + timedelta(seconds=41))

    assert factories.row(standing).state == "timeout"
    assert violations(now + timedelta(seconds=120)) == []


def test_overdue_and_lost_at_once_is_handled_once(alice_principal) -> None:
    now = timezone.now()
    standing = factories.running(alice_principal, now=now, timeout_seconds=10)

    assert recovery.sweep(now + timedelta(minutes=5)) == 1

    assert factories.row(standing).state == "timeout"
    assert violations() == []


@pytest.mark.regression
def test_a_stop_that_is_ignored_is_enforced_in_the_name_of_who_asked(
    alice_principal,
) -> None:
    now = timezone.now()
    standing = factories.running(alice_principal, now=now, timeout_seconds=300)
    factories.unit(standing, lambda: actions.request_cancel(
        actor=alice_principal.actor, standing=standing, reason="enough", now=now,
    ))  # fmt: skip

    assert recovery.sweep(now + recovery.STOP_GRACE - SECOND) == 0
    assert recovery.sweep(now + recovery.STOP_GRACE + SECOND) == 1

    assert factories.row(standing).state == "cancelled"
    payload = last_event(standing).payload
    assert (payload["by"], payload["reason"]) == ("user", "enough")
    assert violations() == []


@pytest.mark.parametrize(
    ("waiting_for", "state"),
    [("", "timeout"), ("predecessor", "timeout"), ("approval", "pending")],
    ids=["unclaimed", "predecessor", "approval"],
)
def test_what_never_started_ends_after_ten_minutes_unless_it_waits_for_approval(
    waiting_for, state, alice_principal
) -> None:
    now = timezone.now()
    standing = factories.execution(alice_principal, now=now, waiting_for=waiting_for)

    recovery.sweep(now + recovery.QUEUE_LIMIT - SECOND)
    assert factories.row(standing).state == "pending"

    recovery.sweep(now + recovery.QUEUE_LIMIT + SECOND)
    row = factories.row(standing)
    assert row.state == state
    if state == "timeout":
        assert row.error_code == "queue_timeout"
        assert [e.type for e in [last_event(standing)]] == ["agent_error"]
    assert violations() == []


def test_at_a_start_every_claim_of_another_boot_is_recovered(alice_principal) -> None:
    now = timezone.now()
    boot = uuid.uuid4()
    mine = factories.claimed(alice_principal, now=now, owner=boot)
    orphan = factories.running(alice_principal, now=now)

    assert recovery.recover_orphans(boot) == 1

    assert factories.row(mine).state == "starting"
    assert (factories.row(orphan).state, factories.row(orphan).attempt) == (
        "pending",
        2,
    )
    assert violations() == []


def test_the_sweep_reaches_every_organisation(
    alice_principal, mallory_principal
) -> None:
    now = timezone.now()
    standings = [
        factories.running(who, now=now, timeout_seconds=5)
        for who in (alice_principal, mallory_principal)
    ]

    assert recovery.sweep(now + timedelta(seconds=8)) == 2

    assert {factories.row(standing).state for standing in standings} == {"timeout"}


@pytest.mark.live
def test_sweepers_at_once_handle_each_row_once(committed, alice_principal) -> None:
    now = timezone.now()
    standings = [
        factories.running(alice_principal, now=now, timeout_seconds=5) for _ in range(4)
    ]
    standings += [
        factories.running(alice_principal, now=now, timeout_seconds=500)
        for _ in range(4)
    ]
    later, moved, ready = now + actions.LEASE + SECOND, [], threading.Barrier(4)

    def sweeps() -> None:
        ready.wait(10)
        try:
            moved.append(recovery.sweep(later))
        finally:
            connection.close()

    threads = [threading.Thread(target=sweeps) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert len(moved) == 4, "a sweeper failed"
    assert sum(moved) == len(standings)
    states = [factories.row(standing).state for standing in standings]
    assert states == ["timeout"] * 4 + ["pending"] * 4
    assert violations() == []


@pytest.mark.live
def test_the_sweepers_thread_sweeps_and_ends(
    committed, alice_principal, monkeypatch
) -> None:
    now = timezone.now() - timedelta(minutes=2)
    standing = factories.running(alice_principal, now=now, timeout_seconds=5)
    swept = threading.Event()

    def sweeps_once() -> None:
        recovery.sweep()
        swept.set()

    monkeypatch.setattr(sweeps, "_sweeps", {})
    sweeps.register("test", sweeps_once, every=0)
    sweeper = recovery.Sweeper(seconds=0.02)

    sweeper.start()
    assert swept.wait(10), "nothing was swept"
    sweeper.close()

    assert not sweeper.is_alive()
    assert factories.row(standing).state == "timeout"


@pytest.mark.live
def test_a_sweep_that_fails_does_not_end_the_thread(monkeypatch) -> None:
    calls, again = [], threading.Event()

    def fails() -> None:
        calls.append(len(calls))
        if len(calls) > 1:
            again.set()
        raise ValueError("on purpose")

    monkeypatch.setattr(sweeps, "_sweeps", {})
    sweeps.register("test", fails, every=0)
    sweeper = recovery.Sweeper(seconds=0.01)

    sweeper.start()
    assert again.wait(10)
    sweeper.close()


def test_recovery_is_among_the_registered_sweeps() -> None:
    assert sweeps.registered()["executions.recovery"] == recovery.SWEEP_SECONDS
