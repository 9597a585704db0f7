"""The fence: who lost the right to write writes nothing, whatever else still matches."""

from __future__ import annotations

import uuid
from dataclasses import replace

import pytest
from django.db import transaction
from django.utils import timezone

from apps.core.database import write_now
from apps.core.sql import ForeignRowError
from apps.executions import actions, endings, moves
from apps.executions.errors import LeaseLostError
from apps.executions.models import Content
from apps.executions.states import ExecutionState
from tests import factories
from tests.factories import TESTER, TESTS
from tests.invariants import violations

pytestmark = [pytest.mark.django_db, pytest.mark.mission_critical]
S = ExecutionState
OTHER = uuid.UUID("00000000-0000-4000-8000-00000000beef")  # another runner process


# -- the fence -------------------------------------------------------------------------

FENCED = {
    "move": lambda s, now: moves.move(s, S.RUNNING, actor=TESTER, now=now),
    "touch": lambda s, now: moves.touch(s, now=now),
    "checkpoint": lambda s, now: actions.checkpoint(
        s, text="x", first_token_at=now, now=now
    ),
    "complete_input": lambda s, now: actions.complete_input(
        standing=s, values={}, now=now
    ),
    "lose_lease": lambda s, now: actions.lose_lease(s, now=now, reason="test"),
    "hand_back": lambda s, now: actions.hand_back(s, now=now),
    "finish": lambda s, now: endings.finish(
        s, factories.ending(S.COMPLETED, text="zombie"), actor=TESTER, now=now
    ),
    "fail": lambda s, now: endings.finish(
        s, factories.ending(S.FAILED), actor=TESTER, now=now
    ),
}
# What the rows of a second owner differ in, one at a time.
FORGERIES = {
    "token": lambda s: replace(s, lease_token=uuid.uuid4()),
    "no token": lambda s: replace(s, lease_token=None),
    "older fence": lambda s: replace(s, fence=s.fence - 1),
    "newer fence": lambda s: replace(s, fence=s.fence + 1),
    "older version": lambda s: replace(s, version=s.version - 1),
}


@pytest.mark.parametrize("forge", FORGERIES.values(), ids=FORGERIES)
@pytest.mark.parametrize("write", FENCED.values(), ids=FENCED)
def test_no_write_passes_with_another_lease(write, forge, alice_principal) -> None:
    standing = factories.claimed(alice_principal)
    before = factories.rows(standing)

    with pytest.raises(LeaseLostError), transaction.atomic():
        factories.unit(standing, lambda: write(forge(standing), timezone.now()))

    assert factories.rows(standing) == before
    assert violations() == []


@pytest.mark.parametrize("write", FENCED.values(), ids=FENCED)
def test_a_zombies_late_write_changes_nothing(write, alice_principal) -> None:
    zombie = factories.claimed(alice_principal)
    factories.unit(
        zombie, lambda: actions.lose_lease(zombie, now=timezone.now(), reason="stalled")
    )
    second = factories.claim(factories.present(zombie), owner=OTHER)
    before = factories.rows(second)

    with pytest.raises(LeaseLostError), transaction.atomic():
        factories.unit(zombie, lambda: write(zombie, timezone.now()))

    assert factories.rows(second) == before
    done = factories.finish(
        factories.move(second, S.RUNNING), text="the second's answer"
    )
    assert factories.row(done).state == "completed"
    with TESTS:
        assert Content.objects.get(execution_id=done.id).output == "the second's answer"
    assert violations() == []


@pytest.mark.security
def test_a_foreign_organisations_standing_writes_nothing(
    alice_principal, mallory_principal
) -> None:
    standing = factories.claimed(alice_principal)
    before = factories.rows(standing)
    disguised = replace(standing, organisation_id=mallory_principal.organisation_id)

    with pytest.raises(ForeignRowError):
        write_now(
            mallory_principal.scope, lambda: moves.touch(standing, now=timezone.now())
        )
    with pytest.raises(LeaseLostError):
        write_now(
            mallory_principal.scope,
            lambda: moves.touch(disguised, now=timezone.now()),
        )

    assert factories.rows(standing) == before
