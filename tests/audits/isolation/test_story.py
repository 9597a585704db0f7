"""The whole audit on this very product: all holds; with a hole in it, the audit names the hole."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection, models

from apps.accounts import access as accounts
from apps.accounts.actions.canaries import AUDIT
from apps.audits.isolation import story, verifying
from apps.audits.isolation.judging import Outcome
from apps.audits.models import IsolationAudit
from apps.chat import access as chat
from apps.chat.models import Thread
from apps.core import canaries, surfaces
from apps.core.errors import (
    NotAllowedError,
    NotAuthenticatedError,
    NotFoundError,
)
from apps.core.surfaces import Canary
from apps.core.tenancy import system
from apps.executions import access as executions
from apps.executions.models import Execution
from apps.usage.models import Record

pytestmark = pytest.mark.security


def breaches(planted: tuple[Canary, Canary], kind: str, name: str) -> set[str]:
    """The checks that find something at one surface."""
    surface = next(
        each
        for each in surfaces.registered()
        if (surfaces.kind_of(each).value, each.name) == (kind, name)
    )
    probes = list(story.tried(surface, *planted))
    assert probes
    blind = [probe for probe in probes if probe.outcome is Outcome.INCONCLUSIVE]
    assert not blind, blind
    return {probe.check.value for probe in probes if probe.outcome is Outcome.BREACHED}


def test_an_audit_of_this_product_passes_and_its_bundle_verifies(db, tmp_path, capsys):
    file = tmp_path / "bundle.ndjson"

    with pytest.raises(SystemExit) as end:
        call_command("isolation_audit", out=file)

    assert end.value.code == 0, capsys.readouterr().out
    told = verifying.verify(file)
    assert told.end["probes"] >= 300
    with story.OWN:
        assert IsolationAudit.objects.get().verdict == "passed"


def test_every_model_and_every_route_of_the_api_is_declared():
    surfaces.load()

    assert surfaces.undeclared() == []


def test_canaries_come_in_only_while_an_audit_runs(planted):
    first, _ = planted
    secret = first.owner.token

    assert accounts.principal_from_token(secret).organisation_slug == first.slug
    canaries._admitted.clear()
    with pytest.raises(NotAuthenticatedError):
        accounts.principal_from_token(secret)
    with pytest.raises(NotAllowedError):
        accounts.principal_for(first.owner.user_id)


def test_what_an_audit_leaves_behind_opens_nothing(planted):
    first, second = planted
    for canary in planted:
        story.withdraw(canary.slug)

    for canary in (first, second):
        with pytest.raises(NotAuthenticatedError):
            accounts.principal_from_token(canary.owner.token)


def test_an_audit_acts_by_name():
    assert AUDIT.label == "isolation audit"


# -- holes: each is found, by the check that is meant for it ----------------------------

WIDE = system("a hole dug by a test")
Hole = Callable[[pytest.MonkeyPatch], None]


def found(rows: Any) -> Any:
    row = rows.first()
    if row is None:
        raise NotFoundError("There is no such thread.", field="thread_id")
    return row


def _any_thread(patch: pytest.MonkeyPatch) -> None:
    def thread_for(user_id, thread_id):
        with WIDE:
            return found(Thread.objects.filter(id=thread_id))

    patch.setattr(chat, "thread_for", thread_for)


def _any_colleague(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(
        chat,
        "thread_for",
        lambda _, thread_id: found(Thread.objects.filter(id=thread_id)),
    )


def _any_execution(patch: pytest.MonkeyPatch) -> None:
    def executions_of(_):
        return Execution.objects.all()

    patch.setattr(executions, "executions_of", executions_of)


def _told_apart(patch: pytest.MonkeyPatch) -> None:
    real = chat.thread_for

    def thread_for(user_id, thread_id):
        with WIDE:
            there = Thread.objects.filter(id=thread_id).exists()
        if there:
            try:
                return real(user_id, thread_id)
            except NotFoundError:
                raise NotAllowedError("This thread is not yours.") from None
        return real(user_id, thread_id)

    patch.setattr(chat, "thread_for", thread_for)


MUTANTS = [
    ("access", "chat.thread_for", _any_thread, "foreign"),
    ("access", "chat.thread_for", _any_colleague, "colleague"),
    ("access", "chat.thread_for", _told_apart, "absent"),
    ("route", "GET /api/v1/threads/{thread_id}/", _any_colleague, "colleague"),
    ("route", "GET /api/v1/threads/{thread_id}/messages/", _any_colleague, "colleague"),
    ("route", "GET /api/v1/threads/{thread_id}/events/", _any_colleague, "colleague"),
    ("route", "PATCH /api/v1/threads/{thread_id}/", _any_colleague, "untouched"),
    ("route", "DELETE /api/v1/threads/{thread_id}/", _any_colleague, "untouched"),
    ("route", "GET /api/v1/threads/{thread_id}/", _told_apart, "absent"),
    ("route", "GET /api/v1/executions/{execution_id}/", _any_execution, "colleague"),
    ("route", "GET /api/v1/executions/", _any_execution, "colleague"),
]


@pytest.mark.parametrize(
    ("kind", "name", "hole", "check"),
    MUTANTS,
    ids=[f"{m[1]} {m[2].__name__}" for m in MUTANTS],
)
def test_a_hole_is_found_by_the_check_that_is_meant_for_it(
    planted, monkeypatch, kind: str, name: str, hole: Hole, check: str
):
    assert breaches(planted, kind, name) == set()

    hole(monkeypatch)

    assert check in breaches(planted, kind, name)


def test_a_model_whose_manager_forgets_the_organisation_is_found(planted, monkeypatch):
    assert breaches(planted, "model", "usage.Record") == set()

    open_manager: Any = models.Manager()
    open_manager.model, open_manager.name = Record, "objects"
    monkeypatch.setitem(Record._meta.__dict__, "default_manager", open_manager)
    monkeypatch.setitem(Record._meta.__dict__, "managers", (open_manager,))
    found = breaches(planted, "model", "usage.Record")

    assert {"filtered", "unscoped"} <= found
    assert ("foreign" in found) == (
        connection.vendor == "sqlite"
    )  # policies still hold


def test_a_bundle_tells_no_marker_and_no_token(db, tmp_path):
    file = tmp_path / "bundle.ndjson"
    with pytest.raises(SystemExit):
        call_command("isolation_audit", out=file)

    text = file.read_text()

    assert not re.search(r"nt[rs]_[A-Za-z0-9_-]{20}", text)
    for line in text.splitlines()[1:-1]:
        assert "canary-b-" not in json.loads(line)["got"]
