"""Views go with the access of their people: at logout, revocation, expiry, and in every process."""

from __future__ import annotations

import gc
import tracemalloc
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from importlib import import_module

import pytest
from django.conf import settings
from django.contrib.auth import login, logout
from django.contrib.sessions.models import Session
from django.test import Client, RequestFactory
from django.utils import timezone

from apps.accounts import actions
from apps.accounts.access import Principal, token_with
from apps.accounts.events import AccessEnded, EndOfAccess
from apps.accounts.models import Membership, Token, User
from apps.core import sweeps
from apps.core.database import write_now
from apps.core.hub import crossing, hub
from apps.executions import receivers, tracker
from apps.executions.contexts import UserExecutionContext
from apps.executions.tracker import get_execution_tracker, open_views
from tests.doors import api_client, secret_of
from tests.executions.test_tracker import context_of
from tests.factories import TESTER, TESTS

pytestmark = [pytest.mark.mission_critical, pytest.mark.security]


@dataclass(frozen=True)
class Somebody:
    user_id: uuid.UUID = field(default_factory=uuid.uuid4)
    organisation_id: uuid.UUID = field(default_factory=uuid.uuid4)
    tier: str = "mid"


@pytest.fixture(autouse=True)
def _no_views_left() -> Iterator[None]:
    drop_all()
    yield
    drop_all()


def drop_all() -> None:
    for organisation_id, user_id in tracker._views.places():
        tracker.drop_view(organisation_id, user_id)


def has_view(who: Principal) -> bool:
    return (who.organisation_id, who.user_id) in tracker._views.places()


def opened(who: Principal) -> tracker.AgentExecutionTracker:
    view = get_execution_tracker(context_of(who))
    view.create_execution(agent_name="helper")
    return view


def request_of(user: User):
    request = RequestFactory().get("/")
    request.session = import_module(settings.SESSION_ENGINE).SessionStore()
    login(request, user, backend=settings.AUTHENTICATION_BACKENDS[0])
    request.session.save()
    request.user = user  # as the middleware would
    return request


# -- what rings -----------------------------------------------------------------------


def test_who_signs_out_leaves_no_view_and_no_ids(
    alice_principal, alice, bob_principal, django_capture_on_commit_callbacks
) -> None:
    view, other = opened(alice_principal), opened(bob_principal)
    client = Client()
    client.force_login(alice)

    with django_capture_on_commit_callbacks(execute=True):
        client.post("/accounts/logout/")

    assert "_auth_user_id" not in client.session
    assert not has_view(alice_principal)
    assert view.get_user_executions(alice.pk) == []
    assert has_view(bob_principal)
    assert other.get_user_executions(bob_principal.user_id)


def test_a_stranger_who_signs_out_changes_nothing(
    alice_principal, django_capture_on_commit_callbacks
) -> None:
    opened(alice_principal)

    with django_capture_on_commit_callbacks(execute=True):
        Client().post("/accounts/logout/")

    assert has_view(alice_principal)


def test_a_revoked_token_takes_the_view_of_its_organisation_along(
    alice_principal, alice, globex, django_capture_on_commit_callbacks
) -> None:
    with TESTS:
        actions.add_member(actor=TESTER, organisation=globex, user=alice, role="member")
    elsewhere = Somebody(user_id=alice.pk, organisation_id=globex.pk)
    kept = get_execution_tracker(context_of(elsewhere))
    opened(alice_principal)
    client, secret = api_client(alice_principal), secret_of(alice_principal)
    with alice_principal.scope:
        token = token_with(secret)

    with django_capture_on_commit_callbacks(execute=True):
        assert client.delete(f"/api/v1/tokens/{token.pk}/").status_code == 204

    assert not has_view(alice_principal)
    assert get_execution_tracker(context_of(elsewhere)) is kept


def test_who_leaves_an_organisation_leaves_its_view(
    bob_principal, django_capture_on_commit_callbacks
) -> None:
    opened(bob_principal)
    with TESTS:
        membership = Membership.objects.get(user_id=bob_principal.user_id)

    with django_capture_on_commit_callbacks(execute=True), TESTS:
        actions.remove_member(actor=TESTER, membership=membership)

    assert not has_view(bob_principal)


@pytest.mark.parametrize("how", ["closed", "deleted"])
def test_a_closed_account_has_no_view(
    bob_principal, bob, how: str, django_capture_on_commit_callbacks
) -> None:
    get_execution_tracker(context_of(bob_principal))

    with django_capture_on_commit_callbacks(execute=True), TESTS:
        if how == "closed":
            bob.is_active = False
            bob.save(update_fields=["is_active"])
        else:
            bob.delete()

    assert not has_view(bob_principal)


def test_a_change_that_ends_no_access_leaves_the_view(
    bob_principal, bob, django_capture_on_commit_callbacks
) -> None:
    opened(bob_principal)

    with django_capture_on_commit_callbacks(execute=True):
        bob.name = "Robert"
        bob.save()

    assert has_view(bob_principal)


# -- other processes ------------------------------------------------------------------


def test_the_hint_may_leave_the_process() -> None:
    assert crossing()["AccessEnded"] is AccessEnded


async def test_another_process_is_told_and_drops_its_view(
    live_hub, alice_principal
) -> None:
    sent = []
    hub.relay = lambda topic, message: sent.append((topic, message))
    event = AccessEnded(
        user_id=alice_principal.user_id,
        organisation_id=None,
        why=EndOfAccess.LOGGED_OUT,
    )
    receivers.drop_views(event)
    hub.relay = None
    assert sent == [(tracker.ENDED, event)]

    # What the relay of the other process does with it, after Runtime has begun to watch.
    get_execution_tracker(context_of(alice_principal))
    hub.watch(tracker.ENDED, tracker.end_access)
    hub.deliver(*sent[0])

    assert not has_view(alice_principal)


def test_other_hints_on_the_topic_are_ignored(alice_principal) -> None:
    get_execution_tracker(context_of(alice_principal))

    tracker.end_access("something else")

    assert has_view(alice_principal)


# -- what rings no bell ---------------------------------------------------------------


def test_the_sweep_is_registered_and_asks_nothing_without_views(
    db, django_assert_num_queries
) -> None:
    assert sweeps.registered()["executions.views"] == tracker.SWEEP_SECONDS
    with django_assert_num_queries(0):
        assert tracker.drop_void_views() == 0


@pytest.mark.parametrize("way", ["session", "token"])
@pytest.mark.parametrize("end", ["expired", "gone"])
def test_the_last_way_in_ends_and_the_view_with_it(
    alice_principal, alice, way: str, end: str
) -> None:
    opened(alice_principal)
    if way == "session":
        request_of(alice)
    else:
        secret_of(alice_principal)
    assert tracker.drop_void_views() == 0

    past = timezone.now() - timedelta(seconds=1)
    with TESTS:
        rows = Session.objects.all() if way == "session" else Token.objects.all()
        if end == "gone":
            rows.delete()
        elif way == "session":
            rows.update(expire_date=past)
        else:
            rows.update(expires_at=past)

    assert tracker.drop_void_views() == 1
    assert not has_view(alice_principal)


def test_a_second_way_in_keeps_the_view(alice_principal, alice) -> None:
    opened(alice_principal)
    request_of(alice)
    secret_of(alice_principal)
    with TESTS:
        Token.objects.update(revoked_at=timezone.now())

    assert tracker.drop_void_views() == 0


def test_a_new_password_ends_every_session(alice_principal, alice) -> None:
    opened(alice_principal)
    request_of(alice)
    alice.set_password("another one")
    alice.save()

    assert tracker.drop_void_views() == 1


def test_somebody_elses_session_keeps_nobodys_view(alice_principal, bob) -> None:
    opened(alice_principal)
    request_of(bob)

    assert tracker.drop_void_views() == 1


# -- many ------------------------------------------------------------------------------


def test_a_thousand_sessions_leave_no_view(
    alice, alice_principal, django_capture_on_commit_callbacks
) -> None:
    for _ in range(1000):
        request = request_of(alice)
        get_execution_tracker(context_of(alice_principal))
        with django_capture_on_commit_callbacks(execute=True):
            logout(request)
        assert open_views() == 0

    assert Session.objects.count() == 0


def test_a_thousand_people_who_left_hold_no_memory() -> None:
    _come_and_go()  # whatever is made once is there now
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        with_all = _come_and_go() - before
        gc.collect()
        left = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()

    assert open_views() == 0
    assert left < with_all / 10


def _come_and_go() -> int:
    """A thousand people get a view and lose their access; returns the bytes in use between."""
    people = [Somebody() for _ in range(1000)]
    for who in people:
        context = UserExecutionContext.for_principal(
            who, thread_id=uuid.uuid4(), run_id=uuid.uuid4()
        )
        get_execution_tracker(context)._remember(uuid.uuid4())
    assert open_views() == len(people)
    between = tracemalloc.get_traced_memory()[0]
    for who in people:
        event = AccessEnded(
            user_id=who.user_id, organisation_id=None, why=EndOfAccess.LOGGED_OUT
        )
        receivers.drop_views(event)
    return between


def test_the_store_keeps_the_newest_views_only(monkeypatch) -> None:
    monkeypatch.setattr(tracker, "VIEWS_MAX", 3)

    for _ in range(10):
        get_execution_tracker(context_of(Somebody()))

    assert open_views() == 3


def test_a_unit_that_is_rolled_back_drops_nothing(bob_principal) -> None:
    opened(bob_principal)
    with TESTS:
        membership = Membership.objects.get(user_id=bob_principal.user_id)

    def unit() -> None:
        actions.remove_member(actor=TESTER, membership=membership)
        raise ValueError("on second thoughts")

    with pytest.raises(ValueError, match="second thoughts"):
        write_now(TESTS, unit)

    assert has_view(bob_principal)
