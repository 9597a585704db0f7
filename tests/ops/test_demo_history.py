"""The demo's executions: true to every rule, and nobody's mixed up."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise

import pytest
from django.apps import apps
from django.utils import timezone

from apps.accounts.models import Organisation
from apps.audits.models import Receipt
from apps.chat.models import Message, Thread
from apps.core.tenancy import TenantModel, system, tenant
from apps.executions.models import (
    Attempt,
    Event,
    Execution,
    PhaseEntry,
    Stream,
    Transition,
)
from apps.executions.states import (
    CLAIMED,
    TERMINAL,
    TERMINAL_EVENTS,
    ExecutionState,
    Phase,
    allows,
    allows_phase,
)
from apps.issues.models import Evidence, Issue
from apps.ops.demo import exhibits, scenes, spending
from apps.ops.demo.cast import PEOPLE
from apps.ops.demo.seed import seed
from apps.usage.models import Record

TESTS = system("tests")


# -- executions ------------------------------------------------------------------------


@pytest.mark.mission_critical
def test_every_state_is_there_and_every_customer_has_several(demo):
    with TESTS:
        seen = set(Execution.objects.values_list("organisation__slug", "state"))

    assert {state for _, state in seen} == {state.value for state in ExecutionState}
    for slug in ("acme", "globex"):
        assert len({state for place, state in seen if place == slug}) >= 4


@pytest.mark.mission_critical
def test_logs_have_no_gaps_and_every_end_is_told_once_and_last(demo):
    with TESTS:
        streams = list(Stream.objects.all())
        events = list(Event.objects.order_by("stream_id", "seq"))
        executions = {row.pk: row for row in Execution.objects.all()}
    numbers, told = defaultdict(list), defaultdict(list)
    for event in events:
        numbers[event.stream_id].append(event.seq)
        if event.execution_id:
            told[event.execution_id].append(event)

    assert len(streams) > 20
    for stream in streams:
        assert numbers[stream.pk] == list(range(stream.first_kept, stream.last + 1))
    for execution in executions.values():
        finals = [event for event in told[execution.pk] if event.final]
        state = ExecutionState(execution.state)
        if state not in TERMINAL:
            assert finals == []
            continue
        assert finals == told[execution.pk][-1:]
        assert finals[0].type == TERMINAL_EVENTS[state]
        assert finals[0].at == execution.finished_at


@pytest.mark.mission_critical
def test_every_history_is_legal_step_by_step(demo):
    with TESTS:
        executions = list(Execution.objects.all())
        moves, phases = defaultdict(list), defaultdict(list)
        for move in Transition.objects.order_by("execution_id", "n"):
            moves[move.execution_id].append(move)
        for entry in PhaseEntry.objects.order_by("execution_id", "fence", "n"):
            phases[entry.execution_id, entry.fence].append(entry)

    for execution in executions:
        steps = moves[execution.pk]
        assert [step.n for step in steps] == list(range(1, execution.version + 1))
        assert (steps[0].from_state, steps[0].to_state) == ("", "pending")
        assert steps[-1].to_state == execution.state
        times = [step.at for step in steps]
        assert times == sorted(times)
        for before, after in pairwise(steps):
            assert after.from_state == before.to_state
            assert allows(
                ExecutionState(before.to_state), ExecutionState(after.to_state)
            )
    for chain in phases.values():
        source: Phase | None = None
        for n, entry in enumerate(chain, 1):
            assert entry.n == n
            assert allows_phase(source, Phase(entry.phase))
            source = Phase(entry.phase)


@pytest.mark.mission_critical
def test_attempts_deadlines_replies_and_receipts_agree_with_the_end(demo):
    with TESTS:
        attempts = defaultdict(list)
        for attempt in Attempt.objects.order_by("fence"):
            attempts[attempt.execution_id].append(attempt)
        replies = {m.execution_id: m for m in Message.objects.filter(role="assistant")}
        receipts = {r.pk: r for r in Receipt.objects.all()}
        executions = list(Execution.objects.select_related("content"))

    for execution in executions:
        claims = attempts[execution.pk]
        assert [claim.fence for claim in claims] == list(range(1, execution.fence + 1))
        open_claims = [claim for claim in claims if claim.ended_at is None]
        assert len(open_claims) == (ExecutionState(execution.state) in CLAIMED)
        if execution.finished_at and execution.deadline_at:
            assert execution.finished_at <= execution.deadline_at
        reply = replies.pop(execution.pk, None)
        if execution.content.output and execution.reply_id:
            assert reply is not None
            assert (reply.pk, reply.text) == (
                execution.reply_id,
                execution.content.output,
            )
            assert reply.partial == (execution.state != "completed")
        else:
            assert reply is None
        if execution.state in {"failed", "timeout", "dead", "cancelled"}:
            receipt = receipts.pop(execution.receipt_id)
            assert receipt.organisation_id == execution.organisation_id
            assert receipt.user_id == execution.user_id
            assert receipt.code == execution.error_code
        else:
            assert execution.receipt_id is None
    assert not replies
    assert not receipts


def test_old_answers_agree_with_the_records(db, var):
    """Full 90 days, so that the month before last month is there."""
    seed(timezone.now())
    acme = Organisation.objects.get(slug="acme")
    asked = (timezone.now() - timedelta(days=3)).date()
    end = asked.replace(day=1)
    start = (end - timedelta(days=1)).replace(day=1)

    with tenant(acme.pk):
        answer = Message.objects.filter(
            role="assistant", text__startswith="In "
        ).order_by("created_at")
        text = answer.filter(text__contains="you spent").get().text
        rows = list(Record.objects.values_list("at", "cost_usd"))

    spent = sum(
        (cost for at, cost in rows if start <= at.astimezone(UTC).date() < end),
        Decimal(),
    )
    assert spent > 0
    assert f"**${spent:,.2f}**" in text


def test_each_kind_of_failure_is_an_issue_and_equal_failures_are_one(
    db, var, short, django_capture_on_commit_callbacks
):
    with django_capture_on_commit_callbacks(execute=True):
        seed(timezone.now())

    with TESTS:
        failed = Execution.objects.filter(state__in=["failed", "timeout", "dead"])
        assert set(Evidence.objects.values_list("execution_id", flat=True)) == set(
            failed.values_list("id", flat=True)
        )
        repeated = Issue.objects.filter(count=2).values_list(
            "organisation__slug", flat=True
        )
        assert sorted(repeated) == ["acme", "globex"]
        assert Issue.objects.count() == failed.count() - 2


# -- nobody's data is mixed --------------------------------------------------------------


@pytest.mark.security
def test_no_row_of_one_organisation_points_at_another(demo):
    tenants = [model for model in apps.get_models() if issubclass(model, TenantModel)]
    checked = 0
    with TESTS:
        for model in tenants:
            for field in model._meta.get_fields():
                related = getattr(field, "related_model", None)
                if not field.concrete or not field.is_relation or related is None:
                    continue
                if isinstance(related, type) and issubclass(related, TenantModel):
                    rows = model._base_manager.exclude(**{f"{field.name}": None})
                    pairs = rows.values_list(
                        "organisation_id", f"{field.name}__organisation_id"
                    )
                    for ours, theirs in pairs:
                        checked += 1
                        assert ours == theirs, (model, field.name)

    assert checked > 200


@pytest.mark.security
def test_every_person_owns_rows_of_their_own_organisation_only(demo):
    places = {person.email: person.company for person in PEOPLE}
    with TESTS:
        for model in (Thread, Execution, Stream):
            owned = model.objects.values_list("user__email", "organisation__slug")
            assert owned
            for email, slug in owned:
                assert places[email] == slug


@pytest.mark.security
def test_a_companys_answers_never_name_the_others_features(demo):
    names = {
        slug: {f.name for f in features} for slug, features in spending.FEATURES.items()
    }
    for ours, theirs in (("acme", "globex"), ("globex", "acme")):
        organisation = Organisation.objects.get(slug=ours)
        with tenant(organisation.pk):
            text = " ".join(Message.objects.values_list("text", flat=True))
            text += " ".join(
                str(p) for p in Event.objects.values_list("payload", flat=True)
            )
        assert any(name in text for name in names[ours])
        assert not any(name in text for name in names[theirs])


def test_every_organisation_has_its_scenes_and_every_scene_lies_in_the_past(demo):
    with TESTS:
        past = Execution.objects.exclude(runner=exhibits.WORK)
        slugs = set(past.values_list("organisation__slug", flat=True))
        newest = past.order_by("-finished_at").first()

    assert slugs == set(scenes.SCENES)
    assert newest.finished_at < datetime.now(UTC)
