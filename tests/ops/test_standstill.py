"""The one sentence about an execution: what it waits for, and what a silent runner means."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from django.utils import timezone

from apps.accounts.models import Organisation
from apps.core.tenancy import staff as staff_scope
from apps.executions import actions, approvals, concurrency
from apps.executions.actions import LEASE
from apps.executions.errors import ApprovalRequest
from apps.executions.runner import FENCE_SECONDS
from apps.ops import inspection
from tests import factories


@pytest.fixture(autouse=True)
def limits_anew():
    concurrency.forget()
    yield
    concurrency.forget()


@pytest.fixture
def sentence(support):
    def say(standing, now: datetime | None = None) -> str:
        with staff_scope(support.pk):
            found = inspection.find(str(standing.id))
            assert found is not None
            return inspection.inspect(found, now or timezone.now()).sentence

    return say


def limit(organisation_id, executions: int) -> None:
    rows = Organisation.objects.filter(pk=organisation_id)
    rows.update(concurrent_executions=executions)


def test_a_person_at_the_limit_waits_for_a_place(sentence, alice_principal):
    most = alice_principal.plan.concurrent_executions_per_user
    for _ in range(most):
        factories.running(alice_principal)

    said = sentence(factories.execution(alice_principal))

    words = f"Waiting for a place: {most} of {most} of this person are at work;"
    assert said.startswith(words)


def test_an_organisation_at_the_limit_is_named(
    sentence, alice_principal, bob_principal, mallory_principal
):
    limit(alice_principal.organisation_id, 2)
    for who in (alice_principal, bob_principal, mallory_principal):
        factories.running(who)

    said = sentence(factories.execution(alice_principal))

    assert said.startswith("Waiting for a place: 2 of 2 of Acme are at work;")


def test_below_the_limits_it_waits_for_a_runner(
    sentence, alice_principal, mallory_principal
):
    """What others have at work counts for them only."""
    limit(alice_principal.organisation_id, 1)
    factories.running(mallory_principal)

    said = sentence(factories.execution(alice_principal))

    assert said.startswith("Waiting for a runner; asked for")


def test_one_that_nobody_takes_says_where_to_look(sentence, alice_principal):
    standing = factories.execution(alice_principal)

    said = sentence(standing, timezone.now() + timedelta(minutes=2))

    assert "none took it for 2 min" in said
    assert "look whether one runs" in said


def test_a_busy_conversation_is_told(sentence, alice_principal):
    first = factories.running(alice_principal)
    second = factories.execution(alice_principal, stream_id=first.stream_id)

    assert "another of its conversation, which is at work" in sentence(second)


def test_one_behind_a_predecessor_says_so(sentence, alice_principal):
    standing = factories.execution(alice_principal, waiting_for="predecessor")

    assert sentence(standing).startswith("Waiting for the answer before it")


def test_a_question_says_how_long_it_waits(sentence, alice_principal):
    standing = factories.running(alice_principal)
    now = timezone.now()
    request = ApprovalRequest(call_id="c", tool="send", arguments={}, reason="?")
    factories.unit(standing, lambda: approvals.ask(standing, request, now=now))
    until = now + approvals.WAIT

    soon, late = sentence(standing, now), sentence(standing, until)

    assert soon.startswith(
        f"Waiting for somebody's approval of send until {until:%H:%M} UTC, 1 h"
    )
    assert "of send, whose time is over" in late


def test_a_question_that_is_not_written_down_is_still_told(sentence, alice_principal):
    standing = factories.execution(alice_principal, waiting_for="approval")

    assert sentence(standing).startswith("Waiting for somebody's approval; asked")


def test_the_next_try_is_told_until_it_is_due(sentence, alice_principal):
    standing = factories.running(alice_principal)
    now, wait = timezone.now(), timedelta(seconds=90)
    factories.unit(
        standing,
        lambda: actions.try_again(standing, now=now, wait=wait, reason="busy"),
    )

    before, after = sentence(standing, now), sentence(standing, now + wait)

    assert before.startswith(
        "Back in the queue, waiting to be tried again in 1 min 30 s, attempt 2 of 3;"
    )
    assert after.startswith("Back in the queue, waiting for a runner;")


@pytest.mark.parametrize(
    ("silent", "words"),
    [
        (FENCE_SECONDS - 1, "; its lease ends in"),
        (FENCE_SECONDS + 1, ": its runner should have given it up"),
        (LEASE.total_seconds() + 1, ": its lease is over"),
    ],
)
def test_a_silent_runner_is_explained(sentence, alice_principal, silent, words):
    now = timezone.now()
    standing = factories.running(alice_principal, now=now)

    said = sentence(standing, now + timedelta(seconds=silent))

    assert f"No sign of life for {silent:.1f} s{words}" in said
