"""After a backup was restored, clients are told that the logs are not the ones they know."""

from __future__ import annotations

import io

import pytest
from django.core.management import call_command

from apps.executions import epochs
from apps.executions.models import Stream
from tests import factories
from tests.factories import TESTS

pytestmark = pytest.mark.integration


def known() -> dict:
    with TESTS:
        return dict(Stream.objects.values_list("id", "epoch"))


def test_every_log_of_every_organisation_gets_a_new_epoch(
    alice_principal, mallory_principal
) -> None:
    factories.execution(alice_principal)
    factories.execution(mallory_principal)
    before = known()
    out = io.StringIO()

    call_command("restored", stdout=out)

    after = known()
    assert len(before) == 2
    assert after.keys() == before.keys()
    assert not set(after.values()) & set(before.values())
    assert "2 threads began a new epoch" in out.getvalue()
    assert "revoked" in out.getvalue(), "what else a restored backup brings back"


def test_a_second_restore_is_told_apart_from_the_first(alice_principal) -> None:
    factories.execution(alice_principal)
    call_command("restored", stdout=io.StringIO())
    first = known()

    call_command("restored", stdout=io.StringIO())

    assert not set(known().values()) & set(first.values())


def test_it_reaches_no_further_than_the_open_scope(
    alice_principal, mallory_principal
) -> None:
    factories.execution(alice_principal)
    theirs = factories.execution(mallory_principal)
    before = known()

    with alice_principal.scope:
        assert epochs.begin() == 1

    assert known()[theirs.stream_id] == before[theirs.stream_id]
