"""What ops writes: flags are on record, with what was before."""

from __future__ import annotations

import json

import pytest

from apps.audits.models import Entry
from apps.core.errors import InvalidInputError
from apps.core.models import Flag
from apps.ops import actions
from tests.factories import TESTER, TESTS

pytestmark = pytest.mark.django_db
GIVEN = {"actor": TESTER, "name": "fairness", "reason": "We look into it."}


def told() -> list[tuple[int, object, object]]:
    with TESTS:
        rows = Entry.objects.filter(act="setting_changed").order_by(
            "organisation_id", "seq"
        )
        bodies = [json.loads(row.body) for row in rows]
    return [(b["seq"], b["details"]["before"], b["details"]["after"]) for b in bodies]


def test_a_flag_that_is_set_changed_and_removed_is_on_record_with_what_was_before():
    with TESTS:
        flag = actions.set_flag(**GIVEN, percentage=0)
        actions.set_flag(**GIVEN, percentage=100)
        actions.remove_flag(actor=TESTER, flag=flag)

    assert told() == [(1, None, 0), (2, 0, 100), (3, 100, None)]


def test_a_flag_of_one_organisation_is_on_its_own_record(acme):
    with TESTS:
        actions.set_flag(
            **GIVEN | {"name": "interrupt"}, percentage=0, organisation_id=acme.pk
        )
        entry = Entry.objects.get()

    assert entry.organisation_id == acme.pk
    assert entry.target == "flag:interrupt"


def test_a_refused_flag_leaves_no_entry():
    with TESTS, pytest.raises(InvalidInputError):
        actions.set_flag(**GIVEN | {"name": "nonsense"}, percentage=0)

    assert told() == []
    assert not Flag.objects.exists()
