"""The numbered log: no gap, no repeat, in order, and rung only after the commit."""

from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from apps.core import database
from apps.core.errors import NotFoundError
from apps.core.sql import ForeignRowError
from apps.executions import journal, queries
from apps.executions.events import StreamAdvanced
from apps.executions.journal import Draft
from apps.executions.models import Event, Stream
from apps.executions.states import EventType
from tests import factories
from tests.factories import TESTS
from tests.invariants import violations

pytestmark = [pytest.mark.django_db, pytest.mark.mission_critical]


def draft(note: str = "", **values: object) -> Draft:
    return Draft(type=EventType.AGENT_THINKING, payload={"note": note}, **values)


def append(who, stream_id, *drafts: Draft):
    return database.write_now(
        who.scope,
        lambda: journal.append(
            organisation_id=who.organisation_id, stream_id=stream_id, drafts=drafts,
            now=timezone.now(),
        ),
    )  # fmt: skip


def test_numbers_begin_at_one_and_have_no_gap(alice_principal) -> None:
    stream = factories.stream(alice_principal)

    first = append(alice_principal, stream, draft("a"))
    more = append(alice_principal, stream, draft("b"), draft("c"))

    assert [entry.seq for entry in (*first, *more)] == [1, 2, 3]
    with alice_principal.scope:
        notes = [entry.payload["note"] for entry in queries.events_after(stream, 0)]
    assert notes == ["a", "b", "c"]
    assert violations() == []


def test_what_is_read_is_what_was_returned(alice_principal) -> None:
    stream = factories.stream(alice_principal)

    written = append(alice_principal, stream, draft("é𝒞\u0000"[:2]), draft("b"))

    with alice_principal.scope:
        assert queries.events_after(stream, 0) == written
        assert queries.events_after(stream, 1) == written[1:]
        assert queries.events_after(stream, 2) == []


def test_nothing_to_append_takes_no_number(alice_principal) -> None:
    stream = factories.stream(alice_principal)

    assert append(alice_principal, stream) == []
    with TESTS:
        assert Stream.objects.get(id=stream).last == 0


def test_a_rolled_back_append_leaves_no_gap(alice_principal) -> None:
    stream = factories.stream(alice_principal)
    append(alice_principal, stream, draft("a"))

    with transaction.atomic():
        append(alice_principal, stream, draft("lost"))
        transaction.set_rollback(True)
    append(alice_principal, stream, draft("b"))

    with alice_principal.scope:
        seen = [(e.seq, e.payload["note"]) for e in queries.events_after(stream, 0)]
    assert seen == [(1, "a"), (2, "b")]
    assert violations() == []


def test_one_event_is_never_stored_twice(alice_principal) -> None:
    stream, uid = factories.stream(alice_principal), uuid.uuid4()
    append(alice_principal, stream, draft("once", uid=uid))

    with pytest.raises(IntegrityError), transaction.atomic():
        append(alice_principal, stream, draft("twice", uid=uid))

    with TESTS:
        assert Event.objects.filter(event_uid=uid).count() == 1
    assert violations() == []


def test_an_absent_stream_is_refused(alice_principal) -> None:
    with pytest.raises(NotFoundError):
        append(alice_principal, uuid.uuid4(), draft())


@pytest.mark.security
def test_a_foreign_stream_looks_absent(alice_principal, mallory_principal) -> None:
    stream = factories.stream(alice_principal)

    with pytest.raises(NotFoundError):
        append(mallory_principal, stream, draft("hello from globex"))
    with mallory_principal.scope:
        assert queries.events_after(stream, 0) == []
        assert queries.position_of(stream) is None
        assert queries.last_numbers([stream]) == {}


@pytest.mark.security
def test_a_disguised_organisation_is_refused(
    alice_principal, mallory_principal
) -> None:
    stream = factories.stream(alice_principal)

    def unit():
        return journal.append(
            organisation_id=alice_principal.organisation_id, stream_id=stream,
            drafts=[draft()], now=timezone.now(),
        )  # fmt: skip

    with pytest.raises(ForeignRowError):
        database.write_now(mallory_principal.scope, unit)


def test_watchers_hear_after_the_commit_only(
    alice_principal, monkeypatch, django_capture_on_commit_callbacks
) -> None:
    told = []
    monkeypatch.setattr(
        journal.hub, "publish", lambda topic, hint: told.append((topic, hint))
    )
    stream = factories.stream(alice_principal)

    with django_capture_on_commit_callbacks(execute=True):
        entries = append(alice_principal, stream, draft("a"), draft("b"))
        assert told == []

    topic = journal.stream_topic(alice_principal.organisation_id, stream)
    assert told == [(topic, StreamAdvanced(entries=tuple(entries)))]
    assert topic.startswith(alice_principal.organisation_id.hex)


def test_pages_are_bounded_and_join_without_a_gap(alice_principal) -> None:
    stream = factories.stream(alice_principal)
    append(alice_principal, stream, *(draft(str(n)) for n in range(25)))
    seen, after = [], 0

    with alice_principal.scope:
        while page := queries.events_after(stream, after, limit=10):
            assert len(page) <= 10
            seen += [entry.seq for entry in page]
            after = seen[-1]

    assert seen == list(range(1, 26))


def test_a_position_tells_how_far_the_log_reaches(alice_principal) -> None:
    stream = factories.stream(alice_principal)
    append(alice_principal, stream, draft(), draft())

    with alice_principal.scope:
        position = queries.position_of(stream)
        assert position is not None
        assert (position.first_kept, position.last) == (1, 2)
        assert queries.last_numbers([stream]) == {stream: 2}


@pytest.mark.live
def test_writers_at_once_get_numbers_without_gap_or_repeat(
    committed, alice_principal
) -> None:
    stream, writers, each = factories.stream(alice_principal), 6, 15

    def writes(number: int) -> None:
        try:
            for n in range(each):
                database.retrying(
                    lambda n=n: append(alice_principal, stream, draft(f"{number}-{n}"))
                )
        finally:
            connection.close()

    with ThreadPoolExecutor(writers) as pool:
        for done in [pool.submit(writes, number) for number in range(writers)]:
            done.result(60)

    with alice_principal.scope:
        log = queries.events_after(stream, 0)
    assert [entry.seq for entry in log] == list(range(1, writers * each + 1))
    for number in range(writers):
        own = [
            e.payload["note"]
            for e in log
            if str(e.payload["note"]).startswith(f"{number}-")
        ]
        assert own == [f"{number}-{n}" for n in range(each)]
    assert violations() == []
