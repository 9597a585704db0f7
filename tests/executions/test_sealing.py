"""The end of each execution is sealed, and what was sealed proves moves and events later."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from django.db.models import F
from django.utils import timezone

from apps.audits.acts import Act
from apps.audits.models import Entry
from apps.core import circumstances, sql
from apps.core.actors import Actor
from apps.core.circumstances import Circumstances
from apps.core.database import write_now
from apps.executions import endings, retention, sealing
from apps.executions.models import Event, Execution, Transition
from apps.executions.states import TERMINAL, ExecutionState
from tests import factories
from tests.audits import chains
from tests.factories import TESTS

pytestmark = [pytest.mark.django_db, pytest.mark.mission_critical]
S = ExecutionState


def sealed(execution_id):
    with TESTS:
        entry = Entry.objects.get(
            act=Act.EXECUTION_ENDED, target=f"execution:{execution_id}"
        )
    return json.loads(entry.body)


def proofs(chain_id):
    found, tally = chains.verify(chain_id)
    return [(damage.kind, damage.says) for damage in found], dict(tally.proofs)


@pytest.mark.parametrize("state", sorted(TERMINAL))
def test_each_terminal_state_seals_one_entry(alice_principal, state) -> None:
    ended = factories.ended(alice_principal, state)

    body = sealed(ended.id)
    assert body["details"]["state"] == state.value
    assert body["details"]["attempts"] == 1
    assert proofs(alice_principal.organisation_id) == ([], {"whole": 1})


def test_an_end_that_is_rolled_back_seals_nothing(alice_principal) -> None:
    running = factories.running(alice_principal)

    def unit() -> None:
        endings.finish(
            running, factories.ending(text="x"), actor=factories.TESTER, now=timezone.now()
        )  # fmt: skip
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        factories.unit(running, unit)
    with TESTS:
        assert not Entry.objects.filter(act=Act.EXECUTION_ENDED).exists()


@pytest.mark.parametrize(
    ("model", "values"),
    [
        (Transition, {"reason": "another"}),
        (Transition, {"at": F("at") + timedelta(seconds=1)}),
        (Transition, {"actor_label": "somebody else"}),
        (Event, {"payload": {"text": "another answer"}}),
        (Event, {"attempt": 2}),
        (Event, {"at": F("at") + timedelta(seconds=1)}),
    ],
    ids=str,
)
def test_a_changed_row_of_an_execution_is_found(alice_principal, model, values) -> None:
    ended = factories.ended(alice_principal)
    factories.ended(alice_principal)
    with TESTS:
        last = model.objects.filter(execution_id=ended.id).last()
        model.objects.filter(pk=last.pk).update(**values)

    (found,), counts = proofs(alice_principal.organisation_id)

    assert found[0] == "execution"
    assert str(ended.id) in found[1]
    assert counts == {"whole": 1, "broken": 1}


@pytest.mark.parametrize("values", [{"state": "cancelled"}, {"attempt": 3}], ids=str)
def test_an_execution_that_does_not_stand_as_its_end_was_sealed_is_found(
    alice_principal, values
) -> None:
    ended = factories.ended(alice_principal)
    with TESTS:
        Execution.objects.filter(id=ended.id).update(**values)

    (found,), counts = proofs(alice_principal.organisation_id)

    assert found[0] == "execution"
    assert str(ended.id) in found[1]
    assert str(next(iter(values.values()))) in found[1]
    assert counts == {"broken": 1}


def test_how_an_execution_stands_is_compared_even_where_the_log_was_cut(
    alice_principal,
) -> None:
    ended = factories.ended(alice_principal)
    factories.unit(
        ended,
        lambda: retention.prune(
            ended.stream_id, before=timezone.now() + timedelta(days=1)
        ),
    )
    with TESTS:
        Execution.objects.filter(id=ended.id).update(state="cancelled")

    assert proofs(alice_principal.organisation_id)[1] == {"broken": 1}


@pytest.mark.parametrize("model", [Transition, Event])
def test_a_removed_row_of_an_execution_is_found(alice_principal, model) -> None:
    ended = factories.ended(alice_principal)
    with TESTS:
        model.objects.filter(execution_id=ended.id).first().delete()

    (found,), _ = proofs(alice_principal.organisation_id)
    assert "were sealed" in found[1]


def test_events_that_are_gone_without_the_log_saying_so_are_found(
    alice_principal,
) -> None:
    ended = factories.ended(alice_principal)
    with TESTS:
        Event.objects.filter(execution_id=ended.id).delete()

    assert proofs(alice_principal.organisation_id)[1] == {"broken": 1}


def test_a_log_that_retention_cut_is_counted_and_no_damage(alice_principal) -> None:
    ended = factories.ended(alice_principal)
    factories.unit(
        ended,
        lambda: retention.prune(
            ended.stream_id, before=timezone.now() + timedelta(days=1)
        ),
    )

    assert proofs(alice_principal.organisation_id) == ([], {"log pruned": 1})


def test_moves_are_proved_even_where_the_log_was_cut(alice_principal) -> None:
    ended = factories.ended(alice_principal)
    with TESTS:
        later = timezone.now() + timedelta(days=1)
        retention.prune(ended.stream_id, before=later)
        Transition.objects.filter(execution_id=ended.id, n=1).update(reason="x")

    assert proofs(alice_principal.organisation_id)[1] == {"broken": 1}


def test_words_that_were_erased_are_counted_and_no_damage(alice_principal) -> None:
    ended = factories.ended(alice_principal)
    factories.unit(ended, lambda: retention.forget_content(stream_id=ended.stream_id))

    assert proofs(alice_principal.organisation_id) == ([], {"words forgotten": 1})


def test_an_event_that_moved_is_found_even_after_words_were_erased(
    alice_principal,
) -> None:
    ended = factories.ended(alice_principal)
    factories.unit(ended, lambda: retention.forget_content(stream_id=ended.stream_id))
    with TESTS:
        Event.objects.filter(execution_id=ended.id, final=True).update(attempt=3)

    assert proofs(alice_principal.organisation_id)[1] == {"broken": 1}


def test_an_execution_that_is_gone_is_found(alice_principal) -> None:
    ended = factories.ended(alice_principal)
    with TESTS:
        Execution.objects.filter(id=ended.id).delete()

    assert proofs(alice_principal.organisation_id)[1] == {"broken": 1}


def test_what_a_runner_ends_is_not_told_as_done_from_the_asker(alice_principal) -> None:
    running = factories.running(alice_principal)
    with circumstances.under(Circumstances(door="socket", address="192.0.2.1")):
        factories.finish(running)

    body = sealed(running.id)
    assert body["door"] == "runner"
    assert "address" not in body


def test_what_a_person_stops_is_told_from_where(alice_principal) -> None:
    waiting = factories.execution(alice_principal)
    with circumstances.under(Circumstances(door="socket", address="192.0.2.1")):
        factories.unit(
            waiting,
            lambda: endings.cancel(
                actor=alice_principal.actor, standing=waiting, reason=""
            ),
        )

    body = sealed(waiting.id)
    assert (body["actor_kind"], body["address"]) == ("user", "192.0.2.1")


@pytest.mark.parametrize("make", [factories.execution, factories.running])
def test_a_cancel_by_staff_is_an_entry_of_its_own(
    alice_principal, support, make
) -> None:
    standing = make(alice_principal)
    actor = Actor.staff(support.pk, support.email)

    factories.unit(
        standing,
        lambda: endings.cancel(actor=actor, standing=standing, reason="runaway"),
    )

    with TESTS:
        entry = Entry.objects.get(act=Act.EXECUTION_CANCELLED_BY_STAFF)
    assert entry.actor_id == support.pk
    assert entry.target == f"execution:{standing.id}"
    assert json.loads(entry.body)["details"]["reason"] == "runaway"


def test_a_cancel_by_staff_that_came_too_late_is_none(alice_principal, support) -> None:
    ended = factories.ended(alice_principal)
    actor = Actor.staff(support.pk, support.email)

    factories.unit(
        ended, lambda: endings.cancel(actor=actor, standing=ended, reason="")
    )

    with TESTS:
        assert not Entry.objects.filter(act=Act.EXECUTION_CANCELLED_BY_STAFF).exists()


def test_the_head_is_locked_last_of_all_rows(alice_principal, monkeypatch) -> None:
    running = factories.running(alice_principal)
    written: list[str] = []
    for name in ("insert", "swap", "advance", "select", "upsert"):
        real = getattr(sql, name)

        def noting(model, *args, real=real, **options):
            written.append(model.__name__)
            return real(model, *args, **options)

        monkeypatch.setattr(sql, name, noting)

    write_now(
        alice_principal.scope,
        lambda: endings.finish(
            running, factories.ending(text="x"), actor=factories.TESTER, now=timezone.now()
        ),
    )  # fmt: skip

    first = written.index("Head")
    assert set(written[first:]) == {"Head", "Entry"}
    assert "Stream" in written[:first]


def test_digests_tell_rows_apart_however_they_are_cut() -> None:
    def moves(*rows: list) -> str:
        return sealing.digests(rows, []).moves

    def events(*payloads: object) -> sealing.Digests:
        rows = [[n, "", "", 1, False, "", p] for n, p in enumerate(payloads)]
        return sealing.digests([], rows)

    assert moves([1, "a"], [2, "b"]) != moves([1, "a", 2, "b"])
    assert moves(["a\n1"]) != moves(["a"], ["1"])
    assert events({"b": 1, "a": 2}) == events({"a": 2, "b": 1})
    assert events({"a": 1}).events != events({"a": 2}).events
    assert events({"a": 1}).shape == events({"a": 2}).shape
    assert events({}).shape != events({}, {}).shape
    with pytest.raises(TypeError):
        moves([object()])
