"""Control of the controls: take one safety rule away, and something must notice.

Each test breaks the product on purpose. If one of these fails, the tests that should have seen
the loss of a rule are blind.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable

import pytest
from django.db import IntegrityError, connection, transaction
from django.utils import timezone
from django_scopes import scopes_disabled

from apps.core import sql, tenancy
from apps.core.sql import ForeignRowError
from apps.executions import actions, endings, journal, moves, queries, states
from apps.executions.errors import LeaseLostError
from apps.executions.models import Attempt, Content, Transition
from apps.executions.states import ExecutionState
from tests import factories
from tests.factories import TESTS
from tests.invariants import violations

pytestmark = [pytest.mark.django_db, pytest.mark.mission_critical]
S = ExecutionState
OTHER = uuid.UUID("00000000-0000-4000-8000-00000000beef")


def kinds() -> set[str]:
    return {line.split()[0] for line in violations()}


def zombie_finishes(who) -> str:
    """A stalls, B claims, A finishes after all: whose answer stands?"""
    zombie = factories.running(who)
    factories.unit(
        zombie, lambda: actions.lose_lease(zombie, now=timezone.now(), reason="stalled")
    )
    second = factories.move(
        factories.claim(factories.present(zombie), owner=OTHER), S.RUNNING
    )
    try:
        with transaction.atomic():
            factories.finish(zombie, text="the zombie's")
    except LeaseLostError:
        factories.finish(second, text="the second's")
    with TESTS:
        return Content.objects.get(execution_id=zombie.id).output


def test_with_the_fence_the_zombie_loses(alice_principal) -> None:
    assert zombie_finishes(alice_principal) == "the second's"
    assert violations() == []


def test_without_the_fence_the_zombie_wins_and_the_checker_notices(
    alice_principal, monkeypatch
) -> None:
    whole = moves._fenced

    def by_state_alone(standing) -> dict[str, object]:
        return {
            name: whole(standing)[name] for name in ("id", "organisation_id", "state")
        }

    monkeypatch.setattr(moves, "_fenced", by_state_alone)

    try:
        answer = zombie_finishes(alice_principal)
    except IntegrityError:
        return  # the numbered history did not take the zombie's transition
    assert answer == "the zombie's"
    assert kinds() & {"I4", "I7"}


@pytest.mark.parametrize("kept", ["fence", "lease_token", "version"])
def test_any_one_guard_of_the_fence_is_enough(
    kept: str, alice_principal, monkeypatch
) -> None:
    whole = moves._fenced
    names = ("id", "organisation_id", "state", kept)
    monkeypatch.setattr(
        moves,
        "_fenced",
        lambda standing: {name: whole(standing)[name] for name in names},
    )

    assert zombie_finishes(alice_principal) == "the second's"


def _skip(table: type) -> Callable[[pytest.MonkeyPatch], None]:
    def mutate(monkeypatch: pytest.MonkeyPatch) -> None:
        insert = sql.insert

        def skipping(model, rows) -> None:
            if model is not table:
                insert(model, rows)

        monkeypatch.setattr(sql, "insert", skipping)

    return mutate


def _numbers_with_gaps(monkeypatch: pytest.MonkeyPatch) -> None:
    advance = sql.advance

    def skips_one(model, *, where, column, by):
        return advance(model, where=where, column=column, by=by + 1)

    monkeypatch.setattr(sql, "advance", skips_one)


def _no_final_mark(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        endings, "Draft", lambda **values: journal.Draft(**(values | {"final": False}))
    )


def _wrong_terminal_event(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(
        endings.TERMINAL_EVENTS, S.COMPLETED, states.EventType.AGENT_ERROR
    )
    monkeypatch.setattr(
        "apps.ops.histories.TERMINAL_EVENTS",
        dict(endings.TERMINAL_EVENTS) | {S.COMPLETED: states.EventType.AGENT_COMPLETED},
    )


def _attempts_stay_open(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endings, "close_attempt", lambda *_, **__: None)


def _skips_completing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endings, "_TO_COMPLETED", {})
    monkeypatch.setattr(moves, "allows", lambda *_: True)


MUTATIONS = {
    "no history": (_skip(Transition), "I4"),
    "no attempts": (_skip(Attempt), "I7"),
    "gaps in the log": (_numbers_with_gaps, "I1"),
    "no mark on the last event": (_no_final_mark, "I5"),
    "the wrong last event": (_wrong_terminal_event, "I5"),
    "attempts stay open": (_attempts_stay_open, "I7"),
    "completing is skipped": (_skips_completing, "I4"),
}


@pytest.mark.parametrize(("mutate", "expected"), MUTATIONS.values(), ids=MUTATIONS)
def test_the_checker_notices(
    mutate, expected: str, alice_principal, monkeypatch
) -> None:
    factories.ended(alice_principal)
    assert kinds() == set()

    mutate(monkeypatch)
    factories.ended(alice_principal)

    assert expected in kinds()


def test_without_the_table_the_database_still_allows_one_end(
    alice_principal, monkeypatch
) -> None:
    ended = factories.ended(alice_principal)
    monkeypatch.setattr(moves, "allows", lambda *_: True)

    with pytest.raises(IntegrityError), transaction.atomic():
        factories.finish(ended, S.FAILED)

    assert factories.row(ended).state == "completed"


@pytest.mark.security
def test_without_scopes_a_stranger_would_read(
    alice_principal, mallory_principal, monkeypatch
) -> None:
    standing = factories.ended(alice_principal)

    def seen() -> object:
        with mallory_principal.scope:
            return queries.standing_of(standing.id)

    assert seen() is None
    monkeypatch.setattr(tenancy, "scope", lambda **_: scopes_disabled())
    # PostgreSQL keeps her out all the same: its own layer is tested in test_isolation_policies.
    assert (seen() is None) is (connection.vendor == "postgresql")


@pytest.mark.security
def test_without_the_check_in_sql_a_stranger_would_write(
    alice_principal, mallory_principal, monkeypatch
) -> None:
    standing = factories.running(alice_principal)

    def touched() -> None:
        with mallory_principal.scope:
            moves.touch(standing, now=timezone.now(), values={"agent": "mallory"})

    with pytest.raises(ForeignRowError):
        touched()
    assert factories.row(standing).agent == "golden-turn"

    monkeypatch.setattr(sql, "_check_scope", lambda *_: None)
    if connection.vendor == "postgresql":  # keeps her out by its own layer
        with pytest.raises(LeaseLostError):
            touched()
        assert factories.row(standing).agent == "golden-turn"
        return
    touched()
    assert factories.row(standing).agent == "mallory"


def test_without_waiting_the_second_question_would_run_beside_the_first(
    alice_principal, monkeypatch
) -> None:
    first = factories.running(alice_principal)
    second = factories.execution(
        alice_principal, stream_id=first.stream_id, waiting_for="predecessor"
    )

    forced = factories.unit(
        second,
        lambda: actions.claim(actions.replace(second, waiting_for=""), owner=OTHER),
    )

    assert forced is None, (
        "the constraint on the stream holds even where the guard is gone"
    )
