"""Which grants are open, wait or want a review, and what the trail tells of readings."""

from __future__ import annotations

import uuid
from datetime import timedelta

import pytest
from django.utils import timezone

from apps.audits import readings
from apps.audits.models import LAPSES, REVIEWED_WITHIN, AccessGrant
from apps.audits.readings import Readings
from apps.core.tenancy import staff
from tests.audits.test_grants import (
    ASKER,
    THREAD,
    R,
    answered,
    asked,
    opened,
    read,
    subject,
)

pytestmark = [pytest.mark.django_db, pytest.mark.security]


def test_an_organisations_grant_reaches_no_other_organisation(acme, globex):
    row = opened(acme, reach=R.ORGANISATION, reach_id=None)

    with staff(ASKER.id):
        assert readings.open_for(ASKER.id, subject(acme)) == row
        assert readings.open_for(ASKER.id, subject(globex)) is None


def test_what_waits_is_found_by_who_asked_until_it_lapses(acme):
    row = asked(acme)
    late = row.requested_at + LAPSES

    with staff(ASKER.id):
        assert readings.asked_for(ASKER.id, subject(acme), timezone.now()) == row
        assert readings.asked_for(ASKER.id, subject(acme), late) is None
        assert readings.asked_for(uuid.uuid4(), subject(acme), timezone.now()) is None
    assert row.stand(late) is AccessGrant.Stand.LAPSED


def test_a_review_is_wanted_once_it_is_over_and_overdue_after_a_week(acme):
    left, ended = opened(acme), opened(acme)
    ended = answered(acme, ended, "end", actor=ASKER)
    refused = answered(acme, asked(acme), "refuse")
    over = left.expires_at

    def wanting(now, **options):
        with staff(ASKER.id):
            return set(readings.to_review(now, **options))

    assert wanting(ended.ended_at) == {ended}
    assert wanting(over) == {left, ended}
    assert wanting(over, overdue=True) == set()
    assert wanting(ended.ended_at + REVIEWED_WITHIN, overdue=True) == {ended}
    assert wanting(over + REVIEWED_WITHIN, overdue=True) == {left, ended}
    assert not refused.wants_review(over)
    answered(acme, ended, "review", note="It fits the ticket.")
    assert wanting(over) == {left}


def test_each_grant_has_its_own_readings_newest_first(acme):
    first = opened(acme)
    read(acme, ids=[uuid.uuid4(), uuid.uuid4()])
    read(acme)
    answered(acme, first, "end", actor=ASKER)
    second = opened(acme)
    read(acme, subject(acme, execution_id=THREAD))

    with staff(ASKER.id):
        found = readings.readings_of([first, second])

    assert [one.records for one in found[first.pk].rows] == [0, 2]
    assert [(one.kind, one.id) for one in found[second.pk].rows] == [
        ("execution", str(THREAD))
    ]
    assert found[first.pk].rows[0].fields == ("messages.text",)
    assert not found[first.pk].cut


def test_nobody_hides_what_they_read_behind_more_readings(acme, monkeypatch):
    monkeypatch.setattr(readings, "SHOWN", 2)
    first = opened(acme)
    read(acme, ids=[uuid.uuid4()])
    first = answered(acme, first, "end", actor=ASKER)
    second = opened(acme)
    for _ in range(3):
        read(acme)
    answered(acme, second, "end", actor=ASKER)
    third = opened(acme)

    with staff(ASKER.id):
        found = readings.readings_of([first, second, third])

    assert found[first.pk] == Readings(rows=[], cut=True)
    assert (len(found[second.pk].rows), found[second.pk].cut) == (2, True)
    assert found[third.pk] == Readings(rows=[], cut=False)


def test_what_was_read_later_leaves_room_for_a_grants_own_readings(acme, monkeypatch):
    monkeypatch.setattr(readings, "SHOWN", 2)
    monkeypatch.setattr(readings, "LATE", timedelta())
    first = opened(acme)
    read(acme, ids=[uuid.uuid4()])
    first = answered(acme, first, "end", actor=ASKER)
    opened(acme)
    for _ in range(3):
        read(acme)

    with staff(ASKER.id):
        (found,) = readings.readings_of([first]).values()

    assert ([one.records for one in found.rows], found.cut) == ([1], False)


def test_a_grant_that_was_never_open_has_no_readings(acme, django_assert_num_queries):
    row = asked(acme)

    with staff(ASKER.id), django_assert_num_queries(0):
        assert readings.readings_of([row]) == {row.pk: Readings(rows=[])}


def test_how_a_grant_stands_depends_on_the_clock_alone(acme):
    row = opened(acme)
    end = row.expires_at

    assert row.stand(end - timedelta(seconds=1)) is AccessGrant.Stand.OPEN
    assert row.stand(end) is AccessGrant.Stand.EXPIRED
    assert row.over_at(end) == end
    assert row.over_at(end - timedelta(seconds=1)) is None
