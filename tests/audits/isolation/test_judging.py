"""What proves isolation, and what proves nothing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.audits.isolation.judging import (
    Answer,
    Check,
    Judged,
    Outcome,
    Verdict,
    outcome_of_absence,
    outcome_of_control,
    outcome_of_refusal,
    outcome_of_stranger,
    verdict_of,
)

MARKER = "canary-b-5f3a"


def judged(outcome: Outcome) -> Judged:
    return Judged(
        kind="route",
        surface="GET /x/",
        check=Check.FOREIGN,
        outcome=outcome,
        request="x",
        expected="y",
        got="z",
    )


@pytest.mark.parametrize("status", [200, 404, 500])
def test_a_foreign_marker_is_a_breach_whatever_the_status_says(status: int):
    outcome, _ = outcome_of_stranger(Answer(status, f"… {MARKER} …"), [MARKER])

    assert outcome is Outcome.BREACHED


@pytest.mark.parametrize(
    "answer", [Answer(500, ""), Answer(0, ""), Answer(200, "", "no answer in time")]
)
def test_an_error_or_a_time_out_proves_nothing(answer: Answer):
    assert outcome_of_stranger(answer, [MARKER])[0] is Outcome.INCONCLUSIVE
    assert outcome_of_refusal(answer, [MARKER])[0] is Outcome.INCONCLUSIVE
    assert outcome_of_control(answer, 200)[0] is Outcome.INCONCLUSIVE
    assert outcome_of_absence(answer, answer, [])[0] is Outcome.INCONCLUSIVE


def test_an_answer_without_anything_foreign_holds():
    assert outcome_of_stranger(Answer(200, "{}"), [MARKER])[0] is Outcome.HELD


def test_who_proves_nothing_must_be_refused():
    assert outcome_of_refusal(Answer(401, ""), [])[0] is Outcome.HELD
    assert outcome_of_refusal(Answer(302, ""), [])[0] is Outcome.HELD
    assert outcome_of_refusal(Answer(200, ""), [])[0] is Outcome.BREACHED


def test_a_control_that_fails_leaves_the_probe_blind():
    assert outcome_of_control(Answer(404, ""), 200)[0] is Outcome.INCONCLUSIVE


def test_foreign_and_absent_may_differ_in_nothing_but_the_ids():
    one, other = Answer(404, "no thread a1"), Answer(404, "no thread b2")

    assert outcome_of_absence(one, other, ["a1", "b2"])[0] is Outcome.HELD
    assert outcome_of_absence(one, other, [])[0] is Outcome.BREACHED
    forbidden = Answer(403, "no thread a1")
    assert outcome_of_absence(forbidden, other, ["a1", "b2"])[0] is Outcome.BREACHED


@given(st.lists(st.sampled_from(list(Outcome))))
def test_a_verdict_is_passed_only_where_something_was_tried_and_all_held(outcomes):
    verdict = verdict_of([judged(outcome) for outcome in outcomes])

    assert (verdict is Verdict.PASSED) == (set(outcomes) == {Outcome.HELD})
    assert (verdict is Verdict.BREACHED) == (Outcome.BREACHED in outcomes)
