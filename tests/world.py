"""One valid row of every table, for the tests that break constraints."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from apps.accounts import models as accounts
from apps.agents.models import Agent
from apps.audits import receipts, trail
from apps.audits.acts import Act
from apps.audits.models import (
    AccessGrant,
    Checkpoint,
    Entry,
    Head,
    IsolationAudit,
    Probe,
    Receipt,
)
from apps.chat import models as chat
from apps.core.models import Flag
from apps.executions import models as executions
from apps.executions import moves
from apps.executions.states import ExecutionState, Phase
from apps.issues import models as issues
from apps.usage.models import Record
from tests import factories
from tests.factories import TESTER, TESTS

NOW = timezone.now()
BEFORE = NOW - timedelta(days=1)
OWN, OTHER = uuid.uuid4(), uuid.uuid4()
Row = Any


@pytest.fixture
def world(alice_principal, alice, bob, acme, globex, support) -> dict[str, Row]:
    """One valid row of every table."""
    with TESTS:
        rows = _accounts(alice, acme) | _sign_in(alice, bob, acme, globex)
        return rows | _audits() | _executions(alice_principal) | _others(alice, acme)


def _accounts(alice, acme) -> dict[str, Row]:
    provider = accounts.IdentityProvider.objects.create(
        organisation=acme, provider_id="acme", name="Acme", issuer="https://id.acme.example",
        client_id="c",
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


def _sign_in(alice, bob, acme, globex) -> dict[str, Row]:
    """Rows of how people sign in, and what the trail says of it."""
    person, other = (
        accounts.DirectoryUser.objects.create(
            organisation=acme, user=user, user_name=name, created_at=NOW, changed_at=NOW
        )
        for user, name in ((alice, "a"), (bob, "b"))
    )
    group = accounts.DirectoryGroup.objects.create(
        organisation=acme, name="admins", created_at=NOW, changed_at=NOW
    )
    trail.record(Act.SIGNED_IN, actor=TESTER, organisation_id=acme.pk)
    return {
        "domain": factories.domain(acme),
        "foreign_domain": factories.domain(globex, proved_at=None),
        "directory_user": person,
        "other_directory_user": other,
        "directory_group": group,
        "directory_member": accounts.DirectoryMember.objects.create(
            organisation=acme, group=group, person=person
        ),
        "scim_token": accounts.ScimToken.objects.create(
            organisation=acme, prefix="ntr_", digest="d", created_at=NOW
        ),
        "sign_in": accounts.SignIn.objects.create(
            user=alice, session_key="k", method="provider",
            provider=accounts.IdentityProvider.objects.get(), authenticated_at=NOW,
            signed_in_at=NOW, seen_at=NOW, ends_at=NOW + timedelta(hours=1),
        ),
        "entry": Entry.objects.get(),
        "head": Head.objects.get(),
        "checkpoint": Checkpoint.objects.create(
            organisation_id=acme.pk, seq=1, digest="d", at=NOW, body="{}", key_id="k",
            signature="s",
        ),
        "grant": AccessGrant.objects.create(
            organisation_id=acme.pk, staff_id=OWN, staff_label="s", reach="thread",
            reach_id=OTHER, reason="incident", explanation="x", ticket="T-1",
            consent="customer", requested_at=NOW,
        ),
    }  # fmt: skip


def _audits() -> dict[str, Row]:
    said = {
        "organisation_id": trail.PLATFORM,
        "trigger": "command",
        "release": "1",
        "database": "sqlite",
        "began_at": NOW,
        "seen_at": NOW,
    }
    audit = IsolationAudit.objects.create(
        **said, verdict="passed", held=1, ended_at=NOW
    )
    return {
        "audit": audit,
        "running_audit": IsolationAudit.objects.create(**said),
        "probe": Probe.objects.create(
            organisation_id=trail.PLATFORM, audit_id=audit.pk, number=1, kind="route",
            surface="GET /", check_name="foreign", outcome="held", request="r",
            expected="e", got="g",
        ),
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
