"""What the user saw: the sentence, the connections and the events of the inspector's section."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta
from functools import partial

import pytest
from django.urls import reverse
from django.utils import timezone

from apps.chat.ledger import Door, Ledger, Progress, store
from apps.core.database import write_now
from apps.core.flags import Switch
from apps.executions import retention
from apps.executions.standing import Standing
from apps.executions.states import ExecutionState
from apps.ops import inspection
from apps.ops.seen import Seen
from tests import factories
from tests.factories import TESTS
from tests.staff import SECRET, staff
from tests.switches import off

LATER = timedelta(minutes=5)
S = ExecutionState


@pytest.fixture
def viewer(client, netra):
    client.force_login(staff("support_viewer", netra))
    return client


def ended(who, state: ExecutionState = S.COMPLETED, **values) -> Standing:
    """An execution in a thread of its own; its two events are number 1 and 2."""
    thread_id = values.pop("stream_id", None) or factories.thread(who).pk
    return factories.ended(who, state, stream_id=thread_id, **values)


def followed(
    who,
    standing: Standing,
    *,
    sent: int = 0,
    shown: int = 0,
    after: timedelta = timedelta(milliseconds=300),
    began: int = 0,
    code: int | None = None,
    door: Door = Door.WEBSOCKET,
) -> Progress:
    """A connection that got so far, `after` the execution's end."""
    at = end_of(standing) + after
    progress = Progress(
        ledger=Ledger(),
        organisation_id=who.organisation_id,
        user_id=who.user_id,
        thread_id=standing.stream_id,
        connection_id=uuid.uuid4(),
        door=door,
        began_after=began,
        sent_to=max(sent, began),
        sent_at=at if sent > began else None,
        acknowledged_to=shown,
        acknowledged_at=at + timedelta(milliseconds=200) if shown else None,
        closed_at=at + timedelta(seconds=1) if code else None,
        close_code=code,
        opened_at=at - timedelta(seconds=10),
    )
    write_now(TESTS, partial(store, [progress.row()]))
    return progress


def end_of(standing: Standing) -> datetime:
    row = factories.row(standing)
    return row.finished_at or timezone.now()


def seen(standing: Standing, now: datetime | None = None) -> Seen:
    with TESTS:
        found = inspection.find(str(standing.id))
        assert found is not None
        return inspection.inspect(found, now or timezone.now() + LATER).seen


# -- the sentence ------------------------------------------------------------------------


def test_an_answer_that_was_shown(alice_principal):
    standing = ended(alice_principal)
    followed(alice_principal, standing, sent=2, shown=2)

    assert (
        seen(standing).sentence == "Alice saw the answer 500 ms after it was written."
    )


@pytest.mark.parametrize("state", [S.FAILED, S.TIMEOUT, S.DEAD, S.CANCELLED])
def test_another_end_that_was_shown(alice_principal, state: ExecutionState):
    standing = ended(alice_principal, state)
    followed(alice_principal, standing, sent=2, shown=2)

    assert seen(standing).sentence.startswith("Alice saw the end 500 ms after")


def test_an_answer_that_was_sent_and_not_confirmed(alice_principal):
    standing = ended(alice_principal)
    followed(alice_principal, standing, sent=2, shown=1, door=Door.SSE)

    sentence = seen(standing).sentence

    assert sentence.startswith("Alice was sent the answer 300 ms after")
    assert "no client has said" in sentence


@pytest.mark.parametrize("sent", [0, 1])
def test_an_end_that_nobody_was_sent(alice_principal, sent: int):
    standing = ended(alice_principal)
    if sent:
        followed(alice_principal, standing, sent=sent, shown=sent, code=4408)

    assert seen(standing).sentence == (
        "Nobody has been sent the end of this execution."
    )


def test_what_ended_just_now_is_not_called_unseen(alice_principal):
    standing = ended(alice_principal)

    assert "ended just now" in seen(standing, end_of(standing)).sentence


def test_a_living_execution_is_watched_or_not(alice_principal):
    thread_id = factories.thread(alice_principal).pk
    standing = factories.running(alice_principal, stream_id=thread_id)
    assert seen(standing).sentence == "Nobody is watching just now."

    followed(alice_principal, standing, sent=1)

    assert seen(standing).sentence == (
        "Alice is watching: 1 of 1 events sent, 0 shown."
    )


def test_a_log_that_was_cut_is_not_called_unseen(alice_principal):
    standing = ended(alice_principal)
    cut = partial(retention.prune, standing.stream_id, before=timezone.now() + LATER)
    assert write_now(alice_principal.scope, cut) == 2

    assert "no longer kept" in seen(standing).sentence


def test_with_the_ledger_off_it_says_so(alice_principal):
    standing = ended(alice_principal)

    with off(Switch.DELIVERY_LEDGER):
        assert "not being written down" in seen(standing).sentence


# -- events and connections --------------------------------------------------------------


def test_the_newest_event_is_exact_and_those_before_were_there_by_then(alice_principal):
    standing = ended(alice_principal)
    followed(alice_principal, standing, sent=2, shown=1)

    first, last = seen(standing).events

    assert first.sent is not None
    assert last.sent is not None
    assert (first.sent.exact, last.sent.exact) == (False, True)
    assert first.shown is not None
    assert (first.shown.exact, last.shown) == (True, None)


def test_the_first_who_got_it_counts(alice_principal):
    standing = ended(alice_principal)
    followed(alice_principal, standing, sent=2, after=timedelta(minutes=2))
    followed(alice_principal, standing, sent=2, after=timedelta(seconds=2))

    assert "sent the answer 2.0 s after" in seen(standing).sentence


def test_who_came_back_behind_it_was_not_sent_it_and_may_confirm_it(alice_principal):
    standing = ended(alice_principal)
    followed(alice_principal, standing, began=2, shown=2)

    (first, last), sentence = seen(standing).events, seen(standing).sentence

    assert (first.sent, last.sent) == (None, None)
    assert sentence.startswith("Alice saw the answer 500 ms")


def test_connections_that_were_over_before_it_was_asked_for_are_left_out(
    alice_principal,
):
    before = ended(alice_principal, now=timezone.now() - timedelta(hours=1))
    followed(alice_principal, before, sent=2, code=1001)
    still_open = followed(alice_principal, before, sent=2)
    standing = ended(alice_principal, stream_id=before.stream_id)

    (shown,) = seen(standing).connections

    assert shown.connection_id == still_open.connection_id


def test_other_threads_have_nothing_to_do_with_it(alice_principal, mallory_principal):
    standing = ended(alice_principal)
    for who in (alice_principal, mallory_principal):
        followed(who, ended(who), sent=2, shown=2)

    assert seen(standing).connections == []


# -- the page ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["change", "live"])
@pytest.mark.security
def test_the_page_shows_it_without_content(viewer, alice_principal, name: str):
    standing = ended(alice_principal, text=SECRET)
    progress = followed(alice_principal, standing, sent=2, shown=2, code=4408)

    url = reverse(f"admin:executions_execution_{name}", args=[standing.id])
    html = viewer.get(url).content.decode()

    assert "What the user saw" in html
    assert "Alice saw the answer" in html
    assert str(progress.connection_id) in html
    assert "4408" in html
    assert SECRET not in html


def test_a_page_that_lives_is_drawn_again_when_something_is_shown(
    viewer, alice_principal, monkeypatch
):
    now = timezone.now()
    monkeypatch.setattr("apps.ops.inspector.timezone.now", lambda: now)
    thread_id = factories.thread(alice_principal).pk
    standing = factories.running(alice_principal, stream_id=thread_id)
    url = reverse("admin:executions_execution_live", args=[standing.id])
    tag = viewer.get(url)["ETag"]

    followed(alice_principal, standing, sent=1)

    assert viewer.get(url, headers={"If-None-Match": tag}).status_code == 200
