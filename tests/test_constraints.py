"""Every named constraint of every table, broken on purpose: the database itself refuses."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.apps import apps
from django.db import IntegrityError, connection, models, transaction
from django.utils import timezone

from apps.accounts import models as accounts
from apps.agents.models import Agent
from apps.audits import receipts
from apps.audits.models import Receipt
from apps.chat import models as chat
from apps.core.models import Flag
from apps.executions import models as executions
from apps.executions import moves
from apps.executions.states import ExecutionState, Phase
from apps.issues import models as issues
from apps.usage.models import Record
from tests import factories
from tests.factories import TESTS

pytestmark = [pytest.mark.django_db, pytest.mark.mission_critical]
NOW = timezone.now()
BEFORE = NOW - timedelta(days=1)
Row = Any

# name → (which row, what it is changed to). Checks are broken by changing a valid row …
CHANGED: dict[str, tuple[str, dict[str, object]]] = {
    "core_flag_percentage_sane": ("flag", {"percentage": 101}),
    "core_flag_name_present": ("flag", {"name": ""}),
    "audits_receipt_code_present": ("receipt", {"code": ""}),
    "audits_receipt_count_positive": ("receipt", {"count": 0}),
    "audits_receipt_last_not_before_first": ("receipt", {"last_at": BEFORE}),
    "accounts_user_email_present": ("user", {"email": ""}),
    "accounts_organisation_tier_known": ("organisation", {"tier": "gold"}),
    "accounts_organisation_status_known": ("organisation", {"status": "gone"}),
    "accounts_organisation_kind_known": ("organisation", {"kind": "friend"}),
    "accounts_organisation_runs_something": (
        "organisation",
        {"concurrent_executions": 0},
    ),
    "accounts_membership_role_known": ("membership", {"role": "king"}),
    "accounts_provider_never_makes_owners": ("provider", {"default_role": "owner"}),
    "accounts_provider_domain_present": ("provider", {"email_domain": ""}),
    "accounts_identity_status_known": ("identity", {"status": "gone"}),
    "accounts_identity_sub_present": ("identity", {"sub": ""}),
    "accounts_token_digest_present": ("token", {"digest": ""}),
    "executions_stream_range_sane": ("stream", {"first_kept": 99}),
    "executions_execution_state_known": ("waiting", {"state": "sleeping"}),
    "executions_execution_lease_iff_claimed": ("running", {"lease_token": None}),
    "executions_execution_finished_iff_terminal": ("ended", {"finished_at": None}),
    "executions_execution_deadline_once_claimed": ("running", {"deadline_at": None}),
    "executions_execution_waits_only_pending": ("running", {"waiting_for": "approval"}),
    "executions_execution_wait_known": ("waiting", {"waiting_for": "godot"}),
    "executions_execution_attempts_bounded": ("waiting", {"attempt": 99}),
    "executions_execution_failure_has_code": ("failed", {"error_code": ""}),
    "executions_execution_timeout_positive": ("waiting", {"timeout_seconds": 0}),
    "executions_transition_first_from_nothing": (
        "transition",
        {"from_state": "running"},
    ),
    "executions_transition_state_known": ("transition", {"to_state": "sleeping"}),
    "executions_phase_known": ("phase", {"phase": "dreaming"}),
    "executions_event_seq_from_one": ("event", {"seq": 0}),
    "executions_event_type_known": ("event", {"type": "agent_sneezed"}),
    "executions_event_final_is_terminal": ("started", {"final": True}),
    "executions_breaker_state_known": (
        "breaker",
        {"state": "ajar", "opened_at": NOW, "open_until": NOW},
    ),
    "executions_breaker_open_has_times": ("breaker", {"state": "open"}),
    "executions_breaker_probes_only_half_open": (
        "breaker",
        {"probe_token": uuid.uuid4()},
    ),
    "executions_breaker_key_present": ("breaker", {"key": ""}),
    "executions_refused_move_why_known": ("refused", {"why": "because"}),
    "executions_step_state_known": ("step", {"state": "guessed"}),
    "executions_step_started_has_time": ("step", {"started_at": None}),
    "executions_step_ended_iff_finished": ("step", {"finished_at": NOW}),
    "executions_step_key_present": ("step", {"key": ""}),
    "executions_approval_decided_iff_answered": ("approval", {"approved": True}),
    "executions_approval_expires_later": ("approval", {"expires_at": BEFORE}),
    "usage_record_source_known": ("record", {"source": "hearsay"}),
    "usage_record_status_known": ("record", {"status": "maybe"}),
    "usage_record_cache_within_input": ("record", {"cached_tokens": 10_000}),
    "usage_record_cost_not_negative": ("record", {"cost_usd": -1}),
    "agents_agent_name_present": ("agent", {"name": ""}),
    "agents_agent_while_busy_known": ("agent", {"while_busy": "shout"}),
    "chat_message_role_known": ("message", {"role": "oracle"}),
    "chat_message_text_present": ("message", {"text": ""}),
    "chat_message_only_replies_partial": ("message", {"partial": True}),
    "chat_key_present": ("key", {"key": ""}),
    "chat_delivery_acknowledged_was_sent": ("delivery", {"acknowledged_to": 99}),
    "chat_delivery_door_known": ("delivery", {"door": "window"}),
    "issues_issue_status_known": ("issue", {"status": "forgotten"}),
    "issues_issue_last_not_before_first": ("issue", {"last_seen": BEFORE}),
    "issues_issue_fingerprint_present": ("issue", {"fingerprint": ""}),
}
# … uniqueness by a second row that is the first one's twin, but for these values.
TWINS: dict[str, tuple[str, dict[str, object]]] = {
    "accounts_user_email_unique_any_case": ("user", {"email": "ALICE@ACME.example"}),
    "accounts_organisation_one_platform": ("platform", {"slug": "netra-2"}),
    "accounts_membership_once_per_person": ("membership", {}),
    "accounts_provider_once_per_issuer": ("provider", {"provider_id": "other"}),
    "accounts_identity_one_person_per_sub": ("identity", {}),
    "executions_execution_one_claimed_per_stream": ("running", {}),
    "executions_attempt_one_per_claim": ("attempt", {"ended_at": NOW}),
    "executions_attempt_one_open": ("attempt", {"fence": 2}),
    "executions_transition_numbered": ("transition", {}),
    "executions_transition_one_end": ("end", {"n": 99}),
    "executions_phase_numbered": ("phase", {}),
    "executions_event_seq_once": (
        "event",
        {"event_uid": uuid.uuid4(), "execution_id": None},
    ),
    "executions_event_one_end": ("last", {"event_uid": uuid.uuid4(), "seq": 99}),
    "executions_step_once_per_key": ("step", {}),
    "executions_approval_once_per_call": (
        "approval",
        {"decided_at": NOW, "approved": True},
    ),
    "executions_approval_one_open": ("approval", {"call_id": "another"}),
    "executions_refused_move_told_once": ("refused", {}),
    "usage_record_once_per_execution": ("record", {}),
    "agents_agent_name_once": ("agent", {}),
    "core_flag_once_for_all": ("flag", {}),
    "core_flag_once_per_organisation": ("own_flag", {}),
    "chat_message_one_reply_per_execution": ("reply", {}),
    "chat_key_once_per_person": ("key", {}),
    "chat_delivery_once_per_thread": ("delivery", {}),
    "issues_issue_fingerprint_once": ("issue", {"number": 99}),
}
UNIQUE_FIELDS = {
    "accounts.User.email": ("user", {}),
    "accounts.Organisation.slug": ("organisation", {}),
    "accounts.IdentityProvider.provider_id": ("provider", {"client_id": "other"}),
    "accounts.Token.digest": ("token", {}),
    "executions.Content.execution": ("content", {}),
    "executions.Event.event_uid": ("event", {"seq": 99}),
    "executions.Breaker.key": ("breaker", {}),
    "issues.Issue.number": ("issue", {"fingerprint": "other"}),
    "issues.Evidence.execution": ("evidence", {}),
}


@pytest.fixture
def world(alice_principal, alice, acme, support) -> dict[str, Row]:
    """One valid row of every table."""
    with TESTS:
        return (
            _accounts(alice, acme) | _executions(alice_principal) | _others(alice, acme)
        )


def _accounts(alice, acme) -> dict[str, Row]:
    provider = accounts.IdentityProvider.objects.create(
        organisation=acme, provider_id="acme", name="Acme", issuer="https://id.acme.example",
        client_id="c", email_domain="acme.example",
    )  # fmt: skip
    receipt = receipts.record(
        receipts.Refusal(
            organisation_id=acme.pk, user_id=alice.pk, code="x", explanation="y"
        ),
        now=NOW,
    )
    return {
        "user": alice,
        "organisation": acme,
        "platform": accounts.Organisation.objects.get(kind="platform"),
        "membership": accounts.Membership.objects.get(user=alice),
        "provider": provider,
        "identity": accounts.Identity.objects.create(
            organisation=acme, user=alice, provider=provider, sub="1", email="a@b.example",
            linked_at=NOW,
        ),
        "token": accounts.Token.objects.create(
            organisation=acme, user=alice, prefix="ntr_", digest="d", created_at=NOW
        ),
        "receipt": Receipt.objects.get(id=receipt),
        "flag": Flag.objects.create(name="retries"),
        "own_flag": Flag.objects.create(name="retries", organisation_id=acme.pk),
    }  # fmt: skip


def _executions(who) -> dict[str, Row]:
    running, ended = factories.running(who), factories.ended(who)
    factories.unit(running, lambda: moves.enter_phase(running, (Phase.CREATED, NOW)))
    events = executions.Event.objects.filter(execution_id=ended.id).order_by("seq")
    return {
        "waiting": factories.row(factories.execution(who)),
        "running": factories.row(running),
        "ended": factories.row(ended),
        "failed": factories.row(factories.ended(who, ExecutionState.FAILED)),
        "stream": executions.Stream.objects.get(id=running.stream_id),
        "content": executions.Content.objects.get(execution_id=running.id),
        "attempt": executions.Attempt.objects.get(execution_id=running.id),
        "transition": executions.Transition.objects.get(execution_id=running.id, n=1),
        "end": executions.Transition.objects.get(
            execution_id=ended.id, to_state="completed"
        ),
        "phase": executions.PhaseEntry.objects.get(execution_id=running.id),
        "event": executions.Event.objects.get(execution_id=running.id),
        "started": events[0],
        "breaker": executions.Breaker.objects.create(key="openai:m", updated_at=NOW),
        "last": events[1],
        "step": executions.Step.objects.create(
            **moves.keys_of(running),
            key="k",
            tool="t",
            state="started",
            attempt=1,
            fence=1,
            planned_at=NOW,
            started_at=NOW,
        ),
        "refused": executions.RefusedMove.objects.create(
            **moves.keys_of(running),
            from_state="running",
            to_state="completed",
            fence=1,
            attempt=1,
            why="fenced",
            actor_label="runner",
            at=NOW,
        ),
        "approval": executions.Approval.objects.create(
            **moves.keys_of(running),
            call_id="k:1",
            tool="t",
            asked_at=NOW,
            expires_at=NOW + timedelta(hours=1),
        ),
    }


def _others(alice, acme) -> dict[str, Row]:
    own = {"organisation": acme, "user": alice, "created_at": NOW}
    thread = chat.Thread.objects.create(**own, updated_at=NOW)
    said = {"organisation": acme, "thread": thread, "text": "x", "created_at": NOW}
    issue = issues.Issue.objects.create(
        organisation=acme,
        number=1,
        title="t",
        fingerprint="f",
        first_seen=NOW,
        last_seen=NOW,
    )
    execution = executions.Execution.objects.filter(state="failed").get()
    return {
        "thread": thread,
        "message": chat.Message.objects.create(**said, role="user"),
        "reply": chat.Message.objects.create(**said, role="assistant", execution_id=uuid.uuid4()),
        "delivery": chat.Delivery.objects.create(
            organisation=acme, user=alice, thread=thread, connection_id=uuid.uuid4(),
            door="websocket", began_after=0, sent_to=3, opened_at=NOW,
        ),
        "key": chat.IdempotencyKey.objects.create(**own, key="k", body_digest="d", answer={}),
        "record": Record.objects.create(
            organisation=acme, at=NOW, provider="p", model="m", input_tokens=10,
            execution_id=uuid.uuid4(),
        ),
        "agent": Agent.objects.create(organisation=acme, name="analyst", title="Analyst"),
        "issue": issue,
        "evidence": issues.Evidence.objects.create(
            organisation=acme, issue=issue, execution=execution, at=NOW
        ),
    }  # fmt: skip


def twin(row: Row, changes: dict[str, object]) -> None:
    """Store a second row like the first; values of encrypted fields are left out."""
    values = {
        field.attname: getattr(row, field.attname)
        for field in row._meta.concrete_fields
    }
    values.pop("secret", None)
    type(row).objects.create(**(values | {"id": uuid.uuid4()} | changes))


def refusal(action) -> str:
    with TESTS, pytest.raises(IntegrityError) as caught, transaction.atomic():
        action()
    return str(caught.value)


@pytest.mark.parametrize("name", CHANGED)
def test_a_row_that_breaks_a_rule_is_refused(name: str, world) -> None:
    key, changes = CHANGED[name]
    row = world[key]

    said = refusal(lambda: type(row).objects.filter(pk=row.pk).update(**changes))

    assert name in said


@pytest.mark.parametrize("name", TWINS)
def test_a_second_row_where_one_is_allowed_is_refused(name: str, world) -> None:
    key, changes = TWINS[name]

    said = refusal(lambda: twin(world[key], changes))

    if connection.vendor == "postgresql":
        assert name in said
    else:  # SQLite names columns instead where there is no condition
        assert name in said or f"{world[key]._meta.db_table}." in said


@pytest.mark.parametrize("name", UNIQUE_FIELDS)
def test_a_value_that_is_unique_is_stored_once(name: str, world) -> None:
    key, changes = UNIQUE_FIELDS[name]

    refusal(lambda: twin(world[key], changes))


OURS = [model for model in apps.get_models() if model.__module__.startswith("apps.")]


def test_every_constraint_there_is_was_broken_above() -> None:
    there = {
        constraint.name for model in OURS for constraint in model._meta.constraints
    }

    assert there == CHANGED.keys() | TWINS.keys()


def test_every_unique_field_there_is_was_doubled_above() -> None:
    there = {
        f"{model._meta.label}.{field.name}"
        for model in OURS
        for field in model._meta.concrete_fields
        if field.unique and not field.primary_key
    }

    assert there == set(UNIQUE_FIELDS)


def test_the_world_holds_a_row_of_every_table(world) -> None:
    seen = {type(row) for row in world.values()}

    assert {model for model in OURS if issubclass(model, models.Model)} - seen == set()
