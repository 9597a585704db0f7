"""What ends sessions by itself: passwords, memberships, identities, rules that changed, and time."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.sessions.models import Session
from django.db import connection
from django.utils import timezone

from apps.accounts import actions
from apps.accounts.access import memberships_of, sign_in_of
from apps.accounts.events import EndOfAccess
from apps.accounts.models import (
    Identity,
    IdentityProvider,
    Organisation,
    SignIn,
    User,
)
from apps.accounts.sessions import evidence
from apps.audits import trail
from apps.core.errors import NotAuthenticatedError
from tests.accounts.sessions.test_sessions import by_password, is_in
from tests.factories import PASSWORD, TESTER, TESTS, sign_in

pytestmark = pytest.mark.security


# -- ended with what they stood on -----------------------------------------------------


def test_a_new_password_ends_the_sessions_under_the_old_one(alice):
    client = by_password(alice)

    alice.set_password("quite another secret 9")
    alice.save()

    assert SignIn.objects.get().end_reason == EndOfAccess.PASSWORD_CHANGED.value
    assert not is_in(client)


def test_a_password_changed_past_all_signals_voids_them_too(alice):
    row = sign_in(alice)
    assert sign_in_of(row.session_key).pk == row.pk

    User.objects.filter(pk=alice.pk).update(password="another")

    with pytest.raises(NotAuthenticatedError):
        sign_in_of(row.session_key)


def test_whoever_changes_their_password_stays_where_they_did(alice):
    here, there = by_password(alice), by_password(alice)
    new = "quite another secret 9"

    here.post(
        "/accounts/password/change/",
        {"oldpassword": PASSWORD, "password1": new, "password2": new},
    )

    assert is_in(here)
    assert not is_in(there)


@pytest.mark.regression
def test_what_somebody_else_ended_meanwhile_does_not_go_on(alice):
    row = sign_in(alice)
    with TESTS:
        actions.end_sign_ins(actor=TESTER, rows=[row], why=EndOfAccess.SESSION_ENDED)

    actions.continue_sign_in(sign_in=row, session_key="a" * 32, user=alice)

    row.refresh_from_db()
    assert row.end_reason == EndOfAccess.SESSION_ENDED.value


@pytest.mark.regression
def test_sessions_and_their_entry_end_in_one_transaction(committed, alice, monkeypatch):
    here, there = by_password(alice), by_password(alice)
    new, whole = "quite another secret 9", []
    record = trail.record

    def seen(*given: Any, **details: Any) -> int:
        whole.append(connection.in_atomic_block)
        return record(*given, **details)

    monkeypatch.setattr(trail, "record", seen)
    here.post(
        "/accounts/password/change/",
        {"oldpassword": PASSWORD, "password1": new, "password2": new},
    )

    assert whole == [True]
    assert (is_in(here), is_in(there)) == (True, False)


# -- ended before it began -------------------------------------------------------------


@pytest.mark.regression
@pytest.mark.parametrize("lost", ["identity", "provider"])
def test_a_word_that_was_taken_back_on_the_way_in_begins_nothing(
    visitor, alice, monkeypatch, lost
):
    remember = evidence.remember

    def then(*given: Any) -> None:
        remember(*given)
        with TESTS:
            if lost == "provider":
                IdentityProvider.objects.update(enabled=False)
                return
            actions.set_identity_status(
                actor=TESTER, identity=Identity.objects.get(), status="suspended"
            )

    monkeypatch.setattr(evidence, "remember", then)
    answer = visitor.sign_in()

    assert answer.status_code == 403
    assert not visitor.is_signed_in
    assert not SignIn.objects.exists()


def test_a_closed_account_has_no_sessions(alice):
    client = by_password(alice)

    alice.is_active = False
    alice.save()

    assert SignIn.objects.get().end_reason == EndOfAccess.DEACTIVATED.value
    assert not is_in(client)


def test_whoever_belongs_nowhere_any_more_keeps_no_session(bob):
    client = by_password(bob)

    with TESTS:
        actions.remove_member(actor=TESTER, membership=memberships_of(bob.pk)[0])

    assert SignIn.objects.get().end_reason == EndOfAccess.MEMBERSHIP_ENDED.value
    assert not is_in(client)


def test_a_session_through_a_company_ends_with_its_membership(
    visitor, alice, bob, globex
):
    visitor.provider.claims = {"email": "bob@acme.example"}
    visitor.sign_in()
    with TESTS:
        actions.add_member(actor=TESTER, organisation=globex, user=bob, role="member")
        own = next(m for m in memberships_of(bob.pk) if m.organisation_id != globex.pk)
        here = by_password(bob)
        actions.remove_member(actor=TESTER, membership=own)

    assert not is_in(visitor.client)
    assert is_in(here), "globex does not ask through whom one came"


def test_a_suspended_identity_takes_its_sessions_along(visitor, alice):
    visitor.sign_in()
    assert is_in(visitor.client)

    with TESTS:
        actions.set_identity_status(
            actor=TESTER, identity=Identity.objects.get(), status="suspended"
        )

    assert not is_in(visitor.client)


def test_a_person_made_staff_loses_the_session_through_a_customer(visitor, alice):
    visitor.sign_in()

    User.objects.filter(pk=alice.pk).update(is_staff=True)

    assert not is_in(visitor.client)
    assert SignIn.objects.get().end_reason == EndOfAccess.STAFF_ELSEWHERE.value


def test_passwords_that_are_no_longer_taken_open_nothing_either(alice, acme):
    client = by_password(alice)

    Organisation.objects.filter(pk=acme.pk).update(sso_required=True)

    assert not is_in(client)
    assert SignIn.objects.get().end_reason == EndOfAccess.PROVIDER_REQUIRED.value


# -- swept -----------------------------------------------------------------------------


def test_the_sweep_closes_what_is_over_and_forgets_what_was(alice):
    now = timezone.now()
    over = sign_in(alice)
    later = now + timedelta(hours=13)
    assert actions.sweep_sign_ins(now=now) == 0

    assert actions.sweep_sign_ins(now=later) == 1
    over.refresh_from_db()
    assert over.end_reason == EndOfAccess.SESSION_EXPIRED.value
    assert not Session.objects.filter(session_key=over.session_key).exists()

    assert actions.sweep_sign_ins(now=later + timedelta(days=31)) == 1
    assert not SignIn.objects.exists()


def test_the_sweep_takes_one_batch_at_a_time(alice, monkeypatch):
    monkeypatch.setattr("apps.accounts.actions.sessions.BATCH", 2)
    for _ in range(3):
        sign_in(alice)
    later = timezone.now() + timedelta(hours=13)

    assert [actions.sweep_sign_ins(now=later) for _ in range(3)] == [2, 1, 0]
