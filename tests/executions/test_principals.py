"""A plain dict of ids becomes a context when everything in it is real, and is refused otherwise."""

from __future__ import annotations

import uuid
from uuid import UUID

import pytest
from django.contrib.sessions.backends.db import SessionStore

from apps.accounts import actions
from apps.accounts.models import Organisation, User
from apps.executions.errors import ContextIsolationError, InvalidContextError
from apps.executions.principals import context_from
from apps.executions.tracker import drop_view, get_execution_tracker
from tests import factories
from tests.factories import TESTER, TESTS

pytestmark = [pytest.mark.mission_critical, pytest.mark.security]


def session_of(user: User) -> str:
    return factories.sign_in(user).session_key


def test_a_real_person_gets_a_context_of_their_organisation(alice, acme) -> None:
    made = context_from({"user_id": str(alice.pk), "session_id": str(uuid.uuid4())})

    made.verify()
    assert (made.user_id, made.organisation_id) == (alice.pk, acme.pk)
    assert made.tier == acme.tier
    assert made.thread_id != made.run_id


def test_thread_and_run_are_kept_where_they_are_named(alice) -> None:
    thread, run = uuid.uuid4(), uuid.uuid4()

    made = context_from({"user_id": alice.pk, "thread_id": thread, "run_id": str(run)})

    assert (made.thread_id, made.run_id) == (thread, run)


def test_a_named_organisation_is_taken_when_the_person_belongs_there(
    alice, acme, globex
) -> None:
    with TESTS:
        actions.add_member(actor=TESTER, organisation=globex, user=alice, role="member")

    named = context_from({"user_id": alice.pk, "organisation_id": str(globex.pk)})

    assert named.organisation_id == globex.pk
    assert context_from({"user_id": alice.pk}).organisation_id == acme.pk


def test_a_session_of_ones_own_may_be_named_by_its_key(alice) -> None:
    assert context_from({"user_id": alice.pk, "session_id": session_of(alice)})


def test_the_same_dict_leads_to_the_same_view(alice_principal) -> None:
    given = {"user_id": str(alice_principal.user_id)}

    view = get_execution_tracker(user_context=given)

    assert view is get_execution_tracker(given)
    assert view.user_id == alice_principal.user_id
    drop_view(alice_principal.organisation_id, alice_principal.user_id)


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"session_id": "x"},
        {"user_id": None},
        {"user_id": 1},
        {"user_id": "user1"},
        {"user_id": "test"},
        {"user_id": UUID(int=0)},
        {"user_id": UUID(int=7)},
        {"user_id": ["a"]},
    ],
    ids=str,
)
def test_whoever_is_not_real_is_refused_with_a_value_error(given: dict, alice) -> None:
    with pytest.raises(InvalidContextError, match="user_id"):
        get_execution_tracker(user_context=given)


@pytest.mark.parametrize(
    "name", ["organisation_id", "session_id", "thread_id", "run_id"]
)
@pytest.mark.parametrize("value", ["test", "demo_1", "", UUID(int=0), 7], ids=repr)
def test_every_other_id_is_refused_by_its_name(alice, name: str, value: object) -> None:
    with pytest.raises(InvalidContextError, match=name):
        context_from({"user_id": alice.pk, name: value})


def test_a_foreign_organisation_looks_like_an_absent_one(alice, globex) -> None:
    said = set()
    for organisation_id in (globex.pk, uuid.uuid4()):
        with pytest.raises(InvalidContextError) as refused:
            context_from({"user_id": alice.pk, "organisation_id": organisation_id})
        said.add(str(refused.value))

    assert len(said) == 1


def test_somebody_elses_session_is_refused(alice, bob) -> None:
    with pytest.raises(ContextIsolationError, match="another person"):
        context_from({"user_id": alice.pk, "session_id": session_of(bob)})


def test_a_session_that_ended_is_refused(alice) -> None:
    key = session_of(alice)
    SessionStore(key).delete()

    with pytest.raises(InvalidContextError, match="no live session"):
        context_from({"user_id": alice.pk, "session_id": key})


def test_a_closed_account_has_no_context(alice) -> None:
    User.objects.filter(pk=alice.pk).update(is_active=False)

    with pytest.raises(InvalidContextError, match="active"):
        context_from({"user_id": alice.pk})


@pytest.mark.parametrize("lost", ["membership", "organisation"])
def test_who_belongs_nowhere_has_no_context(alice, acme, lost: str) -> None:
    with TESTS:
        if lost == "membership":
            alice.memberships.all().delete()
        else:
            Organisation.objects.filter(pk=acme.pk).update(status="suspended")

    with pytest.raises(InvalidContextError, match="active"):
        context_from({"user_id": alice.pk})
