"""Every named constraint of every table, broken on purpose: the database itself refuses."""

from __future__ import annotations

import uuid
from contextlib import nullcontext

import pytest
from django.apps import apps
from django.db import IntegrityError, connection, models, transaction

from tests import guards
from tests.factories import TESTS
from tests.world import BEFORE, NOW, OTHER, OWN, Row, world

__all__ = ["world"]  # a fixture

pytestmark = [pytest.mark.django_db, pytest.mark.mission_critical]

GUARDED = {
    "entry",
    "checkpoint",
    "head",
}  # never changed, or not so: the database's guards come first

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
    "accounts_organisation_idle_sane": ("organisation", {"session_idle_minutes": 0}),
    "accounts_organisation_session_hours_sane": ("organisation", {"session_hours": 0}),
    "accounts_provider_preset_known": ("provider", {"preset": "facebook"}),
    "accounts_provider_token_auth_known": ("provider", {"token_auth": "none"}),
    "accounts_domain_lower_case": ("domain", {"domain": "Acme.Example"}),
    "accounts_domain_challenge_present": ("domain", {"challenge": ""}),
    "accounts_domain_suspended_was_proved": (
        "domain",
        {"proved_at": None, "suspended_at": NOW},
    ),
    "accounts_scimtoken_digest_present": ("scim_token", {"digest": ""}),
    "accounts_directoryuser_name_present": ("directory_user", {"user_name": ""}),
    "accounts_directoryuser_lower_case": ("directory_user", {"user_name": "A"}),
    "accounts_directorygroup_never_makes_owners": (
        "directory_group",
        {"role": "owner"},
    ),
    "accounts_signin_method_known": ("sign_in", {"method": "magic"}),
    "accounts_signin_provider_named": ("sign_in", {"provider": None}),
    "accounts_signin_end_has_reason": ("sign_in", {"ended_at": NOW}),
    "accounts_signin_ends_later": ("sign_in", {"ends_at": BEFORE}),
    "audits_entry_seq_from_one": ("entry", {"seq": 0}),
    "audits_entry_outcome_known": ("entry", {"outcome": "maybe"}),
    "audits_head_range_sane": ("head", {"first_kept": 99}),
    "audits_checkpoint_signed": ("checkpoint", {"signature": ""}),
    "audits_accessgrant_reach_known": ("grant", {"reach": "everything"}),
    "audits_accessgrant_reach_names_one": ("grant", {"reach_id": None}),
    "audits_accessgrant_consent_known": ("grant", {"consent": "nobody"}),
    "audits_accessgrant_has_reason": ("grant", {"ticket": ""}),
    "audits_accessgrant_four_hours_at_most": ("grant", {"minutes": 241}),
    "audits_accessgrant_decided_by_another": ("grant", {"decided_by": OWN}),
    "audits_accessgrant_approved_expires": ("grant", {"approved_at": NOW}),
    "audits_accessgrant_decided_once": (
        "grant",
        {
            "approved_at": NOW,
            "refused_at": NOW,
            "expires_at": NOW,
            "decided_by": OTHER,
        },
    ),
    "audits_accessgrant_reviewed_by_another": ("grant", {"reviewed_by": OWN}),
    "audits_isolationaudit_verdict_known": ("audit", {"verdict": "fine"}),
    "audits_isolationaudit_ends_when_over": ("audit", {"ended_at": None}),
    "audits_isolationaudit_passes_only_when_all_held": ("audit", {"breached": 1}),
    "audits_probe_outcome_known": ("probe", {"outcome": "maybe"}),
    "accounts_identity_status_known": ("identity", {"status": "gone"}),
    "accounts_identity_never_makes_owners": ("identity", {"role": "owner"}),
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
    "accounts_domain_once_per_organisation": ("domain", {"proved_at": None}),
    "accounts_domain_proved_by_one": (
        "foreign_domain",
        {"domain": "acme.example", "proved_at": NOW},
    ),
    "accounts_directoryuser_once_per_person": (
        "directory_user",
        {"user_name": "other"},
    ),
    "accounts_directoryuser_name_once": (
        "other_directory_user",
        {"user_name": "a", "user_id": OTHER},
    ),
    "accounts_directorygroup_name_once": ("directory_group", {}),
    "accounts_directorymember_once": ("directory_member", {}),
    "audits_entry_numbered": ("entry", {}),
    "audits_checkpoint_once": ("checkpoint", {}),
    "audits_isolationaudit_one_at_a_time": ("running_audit", {}),
    "audits_probe_numbered": ("probe", {}),
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
    "accounts.ScimToken.digest": ("scim_token", {}),
    "accounts.SignIn.session_key": ("sign_in", {}),
    "executions.Content.execution": ("content", {}),
    "executions.Event.event_uid": ("event", {"seq": 99}),
    "executions.Breaker.key": ("breaker", {}),
    "issues.Issue.number": ("issue", {"fingerprint": "other"}),
    "issues.Evidence.execution": ("evidence", {}),
}


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

    with guards.lifted() if key in GUARDED else nullcontext():
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
