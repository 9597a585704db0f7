"""Receipts: one for each refusal, counted when it repeats within a minute, never anybody else's."""

from __future__ import annotations

import uuid
from dataclasses import replace
from datetime import timedelta

import pytest
from django.utils import timezone

from apps.audits import receipts
from apps.audits.models import Receipt
from apps.audits.receipts import REPEAT_WINDOW, Refusal
from apps.core.database import write_now
from apps.core.errors import InvalidInputError, NotAllowedError, RateLimitedError

pytestmark = pytest.mark.django_db


def refusal(who, **values: object) -> Refusal:
    given = {"code": "invalid", "explanation": "The text is blank.", "field": "text"}
    return Refusal(
        organisation_id=who.organisation_id, user_id=who.user_id, **(given | values)
    )


def record(who, *refusals: Refusal, now=None) -> list[uuid.UUID]:
    return [
        write_now(who.scope, lambda r=each: receipts.record(r, now=now))
        for each in refusals
    ]


def stored(who, receipt_id: uuid.UUID) -> Receipt:
    with who.scope:
        return Receipt.objects.get(id=receipt_id)


def test_a_receipt_says_what_the_error_said(alice_principal) -> None:
    error = RateLimitedError(
        "Too fast.", field="text", fix="Wait.", values={"limit": 60}, retry_after=30
    )
    before = timezone.now()

    made = Refusal.of(
        error, organisation_id=alice_principal.organisation_id, user_id=alice_principal.user_id,
        rule="60 a minute", correlation_id="frame-1",
    )  # fmt: skip
    (receipt_id,) = record(alice_principal, made)

    receipt = stored(alice_principal, receipt_id)
    assert (receipt.code, receipt.explanation, receipt.fix) == (
        "rate_limited",
        "Too fast.",
        "Wait.",
    )
    assert (receipt.field, receipt.rule, receipt.correlation_id) == (
        "text",
        "60 a minute",
        "frame-1",
    )
    assert receipt.values == {"limit": 60}
    assert (
        before + timedelta(seconds=30)
        <= receipt.lifts_at
        <= timezone.now() + timedelta(seconds=30)
    )
    assert receipt.count == 1


def test_an_error_without_an_end_lifts_never(alice_principal) -> None:
    made = Refusal.of(
        InvalidInputError("No."), organisation_id=alice_principal.organisation_id,
        user_id=alice_principal.user_id, rule="r",
    )  # fmt: skip

    assert made.lifts_at is None


def test_the_same_refusal_within_a_minute_is_counted(alice_principal) -> None:
    now = timezone.now()
    again = now + REPEAT_WINDOW - timedelta(seconds=1)
    (first,) = record(alice_principal, refusal(alice_principal), now=now)

    (second,) = record(alice_principal, refusal(alice_principal), now=again)

    receipt = stored(alice_principal, first)
    assert second == first
    assert (receipt.count, receipt.created_at, receipt.last_at) == (2, now, again)


def test_after_a_minute_it_is_a_new_receipt(alice_principal) -> None:
    now = timezone.now()
    (first,) = record(alice_principal, refusal(alice_principal), now=now)

    later = now + REPEAT_WINDOW + timedelta(seconds=1)
    (second,) = record(alice_principal, refusal(alice_principal), now=later)

    assert second != first
    assert stored(alice_principal, first).count == 1


@pytest.mark.parametrize(
    "changes", [{"code": "not_allowed"}, {"field": "agent"}, {"user_id": uuid.uuid4()}]
)
def test_another_refusal_is_another_receipt(changes: dict, alice_principal) -> None:
    one = refusal(alice_principal)

    first, second = record(alice_principal, one, replace(one, **changes))

    assert first != second


@pytest.mark.security
def test_equal_refusals_of_two_organisations_are_never_joined(
    alice_principal, mallory_principal
) -> None:
    (mine,) = record(alice_principal, refusal(alice_principal))
    (theirs,) = record(mallory_principal, refusal(mallory_principal))

    assert mine != theirs
    with mallory_principal.scope:
        assert [receipt.id for receipt in Receipt.objects.all()] == [theirs]


def test_ends_of_executions_are_never_counted_together(alice_principal) -> None:
    one, now = refusal(alice_principal), timezone.now()

    made = {
        write_now(alice_principal.scope, lambda: receipts.create(one, now=now))
        for _ in range(3)
    }

    assert len(made) == 3


def test_a_receipt_outlives_whom_it_is_about(alice_principal) -> None:
    gone = uuid.uuid4()

    (receipt_id,) = record(
        alice_principal, replace(refusal(alice_principal), user_id=gone)
    )

    assert stored(alice_principal, receipt_id).user_id == gone
    assert str(stored(alice_principal, receipt_id)) == f"invalid ({receipt_id})"


def test_a_refusal_of_nobody_in_particular_can_be_recorded(alice_principal) -> None:
    made = Refusal.of(
        NotAllowedError(),
        organisation_id=alice_principal.organisation_id,
        user_id=None,
        rule="r",
    )

    (first,) = record(alice_principal, made)
    (second,) = record(alice_principal, made)

    assert stored(alice_principal, first).user_id is None
    assert first == second
