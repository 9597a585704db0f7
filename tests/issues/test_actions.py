"""Recording failures: each execution once, alike ones together, organisations apart."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from apps.core.database import write_now
from apps.core.errors import UnavailableError
from apps.executions.states import ExecutionState
from apps.issues import actions
from apps.issues.actions import Failure
from apps.issues.models import Evidence, Issue
from tests import factories

S = ExecutionState


def failure(who, state: ExecutionState = S.FAILED, **values) -> Failure:
    standing = factories.ended(who, state, **values)
    return Failure.of(factories.row(standing))


def record(given: Failure) -> Issue | None:
    return write_now(factories.TESTS, lambda: actions.record(given))


def issues() -> list[Issue]:
    with factories.TESTS:
        return list(Issue.objects.order_by("number"))


def test_a_failure_opens_an_issue_with_its_evidence(alice_principal):
    given = failure(alice_principal)

    issue = record(given)

    assert (issue.number, issue.count, issue.status) == (1, 1, "open")
    assert issue.first_seen == issue.last_seen == given.at
    assert issue.organisation_id == alice_principal.organisation_id
    with factories.TESTS:
        assert Evidence.objects.get().execution_id == given.execution_id


def test_recording_it_again_counts_nothing(alice_principal):
    given = failure(alice_principal)

    first, second = record(given), record(given)

    assert first.pk == second.pk
    assert [issue.count for issue in issues()] == [1]


def test_alike_failures_share_an_issue(alice_principal):
    one, other = failure(alice_principal), failure(alice_principal)

    record(one)
    issue = record(other)

    assert (issue.count, issue.first_seen, issue.last_seen) == (2, one.at, other.at)
    assert len(issues()) == 1


def test_different_states_and_agents_do_not(alice_principal):
    record(failure(alice_principal))
    record(failure(alice_principal, S.TIMEOUT))
    record(failure(alice_principal, agent="slow-turn"))

    assert [issue.number for issue in issues()] == [1, 2, 3]


@pytest.mark.security
def test_the_same_fault_of_two_organisations_makes_two_issues(
    alice_principal, mallory_principal
):
    record(failure(alice_principal))
    record(failure(mallory_principal))

    found = issues()
    assert len({issue.fingerprint for issue in found}) == 1
    assert len({issue.organisation_id for issue in found}) == 2
    assert [issue.number for issue in found] == [1, 2]


@pytest.mark.parametrize("state", [S.COMPLETED, S.CANCELLED])
def test_what_did_not_go_wrong_is_no_issue(alice_principal, state):
    assert record(failure(alice_principal, state)) is None
    assert issues() == []


def test_organisations_for_audits_have_no_issues(alice_principal, acme):
    given = failure(alice_principal)
    acme.kind = "canary"
    acme.save(update_fields=["kind"])

    assert record(given) is None
    assert issues() == []


def test_a_closed_issue_opens_again_when_the_fault_returns(alice_principal):
    first = record(failure(alice_principal))
    with factories.TESTS:
        Issue.objects.filter(pk=first.pk).update(status=Issue.Status.CLOSED)

    again = record(failure(alice_principal))

    assert (again.pk, again.status) == (first.pk, "open")


def test_old_evidence_found_late_does_not_open_a_closed_issue(alice_principal):
    late = failure(alice_principal)
    first = record(failure(alice_principal))
    with factories.TESTS:
        Issue.objects.filter(pk=first.pk).update(status=Issue.Status.CLOSED)

    again = record(replace(late, at=first.first_seen - timedelta(hours=1)))

    assert (again.status, again.count) == ("closed", 2)
    assert again.first_seen == first.first_seen - timedelta(hours=1)
    assert again.last_seen == first.last_seen


def test_a_number_that_was_taken_at_the_same_moment_is_no_obstacle(
    alice_principal, mallory_principal, monkeypatch
):
    record(failure(mallory_principal))
    real, tried = actions._issue, []

    def late(given: Failure) -> Issue:
        tried.append(given)
        if len(tried) == 1:  # somebody else committed number 1 after we looked
            return Issue.objects.create(
                organisation_id=given.organisation_id, number=1, title="x",
                fingerprint=given.fingerprint, first_seen=given.at, last_seen=given.at,
            )  # fmt: skip
        return real(given)

    monkeypatch.setattr(actions, "_issue", late)
    issue = record(failure(alice_principal))

    assert issue.number == 2
    assert len(tried) == 2


def test_it_gives_up_loudly_when_every_try_collides(alice_principal, monkeypatch):
    given = failure(alice_principal)
    record(given)
    monkeypatch.setattr(actions.queries, "issue_of", lambda _: None)

    with pytest.raises(UnavailableError, match=str(given.execution_id)):
        record(given)
    assert [issue.count for issue in issues()] == [1]


def test_a_title_says_agent_state_and_error_class(alice_principal):
    given = replace(failure(alice_principal), error_class="ModelHTTPError")

    assert record(given).title == "golden-turn: something went wrong (ModelHTTPError)"
