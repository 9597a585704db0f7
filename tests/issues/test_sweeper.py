"""The bell groups a failure at once; the sweep finds what no bell announced."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from apps.core.database import close, write
from apps.executions import endings
from apps.executions.states import ExecutionState
from apps.issues import sweeper
from apps.issues.models import Evidence, Issue
from tests import factories

S = ExecutionState


def evidence() -> set:
    with factories.TESTS:
        return set(Evidence.objects.values_list("execution_id", flat=True))


@pytest.mark.parametrize("state", [S.FAILED, S.TIMEOUT, S.DEAD])
def test_a_failure_is_grouped_when_it_is_announced(
    alice_principal, django_capture_on_commit_callbacks, state
):
    with django_capture_on_commit_callbacks(execute=True):
        standing = factories.ended(alice_principal, state)

    assert evidence() == {standing.id}


@pytest.mark.parametrize("state", [S.COMPLETED, S.CANCELLED])
def test_other_ends_are_not(alice_principal, django_capture_on_commit_callbacks, state):
    with django_capture_on_commit_callbacks(execute=True):
        factories.ended(alice_principal, state)

    assert evidence() == set()


@pytest.mark.live
def test_a_failure_in_the_writers_thread_is_grouped_too(committed, alice_principal):
    running = factories.running(alice_principal)
    ending = factories.ending(S.FAILED)

    async def finish() -> None:
        def unit() -> None:
            now = timezone.now()
            endings.finish(running, ending, actor=factories.TESTER, now=now)

        await write(alice_principal.scope, unit)
        await write(alice_principal.scope, lambda: None)  # the bells have rung by now

    asyncio.run(finish())
    close()

    assert evidence() == {running.id}


def test_the_sweep_groups_what_was_missed_and_nothing_twice(
    alice_principal, mallory_principal
):
    missed = {
        factories.ended(alice_principal, S.FAILED).id,
        factories.ended(alice_principal, S.FAILED).id,
        factories.ended(mallory_principal, S.DEAD).id,
    }
    factories.ended(alice_principal)

    assert sweeper.sweep() == 3
    assert sweeper.sweep() == 0
    assert evidence() == missed
    with factories.TESTS:
        assert sorted(Issue.objects.values_list("count", flat=True)) == [1, 2]


def test_the_sweep_leaves_organisations_for_audits_alone(alice_principal, acme):
    factories.ended(alice_principal, S.FAILED)
    acme.kind = "canary"
    acme.save(update_fields=["kind"])

    assert sweeper.sweep() == 0


def test_the_sweep_does_not_look_back_for_ever(alice_principal):
    long_ago = timezone.now() - sweeper.WINDOW - timedelta(hours=1)
    factories.ended(alice_principal, S.FAILED, now=long_ago)

    assert sweeper.sweep() == 0


def test_the_sweep_takes_a_bounded_number_at_once(alice_principal, monkeypatch):
    monkeypatch.setattr(sweeper, "BATCH", 2)
    for _ in range(3):
        factories.ended(alice_principal, S.FAILED)

    assert [sweeper.sweep(), sweeper.sweep(), sweeper.sweep()] == [2, 1, 0]


@pytest.mark.performance
def test_a_sweep_that_finds_nothing_asks_once(alice_principal):
    factories.ended(alice_principal, S.FAILED)
    sweeper.sweep()

    with CaptureQueriesContext(connection) as asked:
        sweeper.sweep()

    assert len(asked) == 1
