"""The step ledger: what was begun and ended is known to every later attempt, and to no zombie."""

from __future__ import annotations

import uuid

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from apps.core.sql import ForeignRowError
from apps.executions import actions, approvals, steps
from apps.executions.approvals import Answer
from apps.executions.errors import ApprovalRequest, LeaseLostError
from apps.executions.models import Step
from apps.executions.standing import Standing
from apps.executions.states import ExecutionState
from tests import factories
from tests.factories import TESTER, TESTS
from tests.invariants import violations

pytestmark = [pytest.mark.django_db, pytest.mark.mission_critical]
S = ExecutionState
OTHER = uuid.UUID("00000000-0000-4000-8000-00000000beef")
NOW = timezone.now()
KEY = "send:abc:1"


def start(standing: Standing, key: str = KEY) -> None:
    factories.unit(
        standing, lambda: steps.start(standing, key=key, tool="send", now=NOW)
    )


def finish(standing: Standing, result: object = "sent", key: str = KEY) -> None:
    factories.unit(
        standing, lambda: steps.finish(standing, key=key, result=result, now=NOW)
    )


def known(standing: Standing, key: str = KEY) -> steps.Known | None:
    with TESTS:
        return steps.known(standing.id, key)


def second_attempt(first: Standing) -> Standing:
    """Its runner is lost, and another one takes it."""
    factories.unit(first, lambda: actions.lose_lease(first, now=NOW, reason="lost"))
    return factories.move(
        factories.claim(factories.present(first), owner=OTHER), S.RUNNING
    )


def test_a_step_that_was_never_begun_is_not_known(alice_principal) -> None:
    assert known(factories.running(alice_principal)) is None


def test_a_finished_step_is_known_with_its_result_in_the_next_attempt(
    alice_principal,
) -> None:
    first = factories.running(alice_principal)
    start(first)
    finish(first, {"id": [1, None, "é"]})

    found = known(second_attempt(first))

    assert found is not None
    assert (found.state, found.result) == (Step.State.FINISHED, {"id": [1, None, "é"]})
    assert violations() == []


def test_a_step_that_was_begun_and_cut_off_is_known_as_such(alice_principal) -> None:
    first = factories.running(alice_principal)
    start(first)

    found = known(second_attempt(first))

    assert found == steps.Known(
        state=Step.State.STARTED, call_id=f"{KEY}:1", approved=None, result=None
    )


def test_a_finished_step_is_never_begun_again(alice_principal) -> None:
    standing = factories.running(alice_principal)
    start(standing)
    finish(standing)

    with pytest.raises(IntegrityError), transaction.atomic():
        start(standing)

    assert known(standing).result == "sent"


def test_a_step_without_effect_may_begin_again(alice_principal) -> None:
    standing = factories.running(alice_principal)
    start(standing)
    factories.unit(standing, lambda: steps.fail(standing, key=KEY, now=NOW))
    assert known(standing).state is Step.State.FAILED

    start(standing)
    finish(standing)

    assert known(standing).state is Step.State.FINISHED


def test_a_step_begun_again_belongs_to_the_new_attempt(alice_principal) -> None:
    first = factories.running(alice_principal)
    start(first)
    second = second_attempt(first)

    start(second)

    with TESTS:
        row = Step.objects.get(execution_id=second.id)
    assert (row.attempt, row.fence, row.state) == (2, 2, "started")
    assert known(second).call_id == f"{KEY}:2"


def test_what_was_not_begun_cannot_end(alice_principal) -> None:
    standing = factories.running(alice_principal)

    with pytest.raises(LeaseLostError), transaction.atomic():
        finish(standing)

    with TESTS:
        assert not Step.objects.exists()


LATE = {
    "start": lambda s: steps.start(s, key="send:new:1", tool="send", now=NOW),
    "start again": lambda s: steps.start(s, key=KEY, tool="send", now=NOW),
    "finish": lambda s: steps.finish(s, key=KEY, result="the zombie's", now=NOW),
    "fail": lambda s: steps.fail(s, key=KEY, now=NOW),
}


@pytest.mark.parametrize("begun_again", [False, True])
@pytest.mark.parametrize("write", LATE.values(), ids=LATE)
def test_a_zombie_writes_nothing_into_the_ledger(
    write, begun_again: bool, alice_principal
) -> None:
    zombie = factories.running(alice_principal)
    start(zombie)
    second = second_attempt(zombie)
    if begun_again:
        start(second)
    before = known(second)

    with pytest.raises(LeaseLostError), transaction.atomic():
        factories.unit(zombie, lambda: write(zombie))

    assert known(second) == before
    with TESTS:
        assert Step.objects.count() == 1
    assert violations() == []


def test_without_the_fence_the_zombies_end_would_count(
    alice_principal, monkeypatch
) -> None:
    zombie = factories.running(alice_principal)
    start(zombie)
    second_attempt(zombie)
    monkeypatch.setattr(steps, "touch", lambda *_, **__: None)

    finish(zombie, "the zombie's")

    assert known(zombie).result == "the zombie's"


def test_even_without_the_lease_a_step_begun_anew_is_not_the_zombies(
    alice_principal, monkeypatch
) -> None:
    zombie = factories.running(alice_principal)
    start(zombie)
    start(second_attempt(zombie))
    monkeypatch.setattr(steps, "touch", lambda *_, **__: None)

    with pytest.raises(LeaseLostError), transaction.atomic():
        finish(zombie, "the zombie's")


def test_an_answer_is_about_one_start_only(alice_principal) -> None:
    first = factories.running(alice_principal)
    start(first)
    second = second_attempt(first)
    _ask_and_answer(second, known(second).call_id, approve=True)
    assert known(second).approved is True

    third = factories.move(
        factories.claim(factories.present(second), owner=OTHER), S.RUNNING
    )
    start(third)

    assert known(third).approved is None, "the next unknown start is asked about anew"


def test_a_refusal_holds_for_equal_calls_however_numbered(alice_principal) -> None:
    first = factories.running(alice_principal)
    start(first)
    second = second_attempt(first)
    _ask_and_answer(second, known(second).call_id, approve=False)

    with TESTS:
        assert steps.was_refused(first.id, "send:abc:")
        assert not steps.was_refused(first.id, "send:abd:")
        assert not steps.was_refused(uuid.uuid4(), "send:abc:")


def _ask_and_answer(standing: Standing, call_id: str, *, approve: bool) -> None:
    request = ApprovalRequest(call_id=call_id, tool="send", arguments={}, reason="?")
    paused = factories.unit(standing, lambda: approvals.ask(standing, request, now=NOW))
    answer = Answer(call_id=call_id, approve=approve)
    factories.unit(
        paused, lambda: approvals.decide(paused, answer, actor=TESTER, now=NOW)
    )


@pytest.mark.security
def test_a_step_is_written_in_its_own_organisation_only(
    alice_principal, mallory_principal
) -> None:
    standing = factories.running(alice_principal)

    with mallory_principal.scope:
        assert steps.known(standing.id, KEY) is None
        with pytest.raises(ForeignRowError):
            steps.start(standing, key=KEY, tool="send", now=NOW)
