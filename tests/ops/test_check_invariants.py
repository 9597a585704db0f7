"""The command, and how the checker goes through large tables: in stretches, and only the wanted part."""

from __future__ import annotations

import io
from datetime import timedelta

import pytest
from django.apps import apps
from django.core.management import CommandError, call_command
from django.db import connection
from django.db.models import F
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from apps.core.tenancy import TenantModel
from apps.executions.models import Event, Stream
from apps.ops import invariants, spans
from apps.ops.management.commands import check_invariants
from apps.ops.spans import Part
from tests import factories
from tests.factories import TESTS

pytestmark = pytest.mark.django_db
MONTH = timedelta(days=30)


def lines(part: Part | None = None) -> list[str]:
    return [str(violation) for violation in invariants.violations(part=part)]


def without_ends(*executions) -> set[str]:
    """Take away the terminal events; returns the executions by the ids that lines name."""
    ids = [standing.id for standing in executions]
    with TESTS:
        Event.objects.filter(execution_id__in=ids).update(final=False)
    return {str(each) for each in ids}


def named(found: list[str]) -> set[str]:
    return {line.split()[2].rstrip(":") for line in found}


def called(*arguments: str) -> tuple[int, list[str], str]:
    """Exit code, lines on stdout, what was said beside."""
    out, err, code = io.StringIO(), io.StringIO(), 0
    try:
        call_command("check_invariants", *arguments, stdout=out, stderr=err)
    except SystemExit as exit_:
        code = int(str(exit_.code))
    return code, out.getvalue().splitlines(), err.getvalue()


@pytest.mark.mission_critical
def test_the_demo_holds(demo) -> None:
    assert called() == (0, [], "Everything holds.\n")


def test_an_empty_database_holds(db) -> None:
    assert called() == (0, [], "Everything holds.\n")


def test_each_violation_is_a_line_and_the_exit_code_says_so(alice_principal) -> None:
    standing = factories.ended(alice_principal)
    without_ends(standing)

    code, told, beside = called()

    assert code == 1
    says = "is completed with 0 terminal events"
    assert told == [f"I5 execution {standing.id}: {says}"]
    assert beside == "1 violations.\n"


def test_a_flood_is_counted_not_listed(alice_principal, monkeypatch) -> None:
    monkeypatch.setattr(check_invariants, "LISTED", 2)
    without_ends(*(factories.ended(alice_principal) for _ in range(5)))

    code, told, beside = called()

    assert (code, len(told), told[-1]) == (1, 3, "I5: 3 more")
    assert beside == "5 violations.\n"


@pytest.mark.parametrize("rows", [1, 2, 3, 5, 6])
def test_stretches_find_what_one_look_finds(rows, alice_principal, monkeypatch) -> None:
    broken = without_ends(*(factories.ended(alice_principal) for _ in range(5)))
    factories.ended(alice_principal)
    with TESTS:
        Stream.objects.update(last=F("last") + 1)
    at_once = lines()
    monkeypatch.setattr(spans, "STRETCH", rows)

    assert sorted(lines()) == sorted(at_once)
    assert named([line for line in at_once if line.startswith("I5")]) == broken
    assert len(at_once) == 5 + 6


def test_one_organisation_is_looked_at_alone(
    alice_principal, mallory_principal
) -> None:
    here, there = factories.ended(alice_principal), factories.ended(mallory_principal)
    without_ends(here, there)

    only = lines(Part(organisation_id=alice_principal.organisation_id))

    assert named(only) == {str(here.id)}
    assert named(lines()) == {str(here.id), str(there.id)}
    assert called("--organisation", "globex")[1] == [
        f"I5 execution {there.id}: is completed with 0 terminal events"
    ]


def test_only_what_is_young_is_looked_at(alice_principal) -> None:
    now = timezone.now()
    old = factories.ended(alice_principal, now=now - MONTH)
    young = factories.ended(alice_principal, now=now)
    without_ends(old, young)
    with TESTS:
        Stream.objects.update(last=F("last") + 1)

    recent = lines(Part(since=now - timedelta(days=1)))

    assert named(recent) == {str(young.id), str(young.stream_id)}
    assert called("--since", "1")[1] == recent
    assert len(called("--since", "60")[1]) == 4


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--organisation", "nowhere"), "no organisation 'nowhere'"),
        (("--since", "0"), "above 0"),
        (("--since", "-3"), "above 0"),
    ],
)
def test_a_part_that_is_not_is_refused(arguments, words: str) -> None:
    with pytest.raises(CommandError, match=words):
        called(*arguments)


def test_the_number_of_statements_does_not_grow_with_the_rows(alice_principal) -> None:
    factories.ended(alice_principal)
    with CaptureQueriesContext(connection) as few:
        assert lines() == []
    for _ in range(10):
        factories.ended(alice_principal)

    with CaptureQueriesContext(connection) as many:
        assert lines() == []

    assert len(many) == len(few)


@pytest.mark.security
def test_every_reference_between_tenants_tables_is_looked_at() -> None:
    references = {
        (model._meta.label, field.name)
        for model in apps.get_models()
        if issubclass(model, TenantModel)
        for field in model._meta.concrete_fields
        if field.related_model and issubclass(field.related_model, TenantModel)
    }

    assert len(list(invariants._foreign_rows())) == len(references) > 10


def test_no_scope_stays_open_while_the_caller_has_the_turn(alice_principal) -> None:
    from apps.core.tenancy import NoScopeError, current_scope

    without_ends(*(factories.ended(alice_principal) for _ in range(2)))

    for _ in invariants.violations():
        with pytest.raises(NoScopeError):
            current_scope()


def test_what_retention_took_from_the_front_of_a_log_is_not_missed(
    alice_principal,
) -> None:
    standing = factories.ended(alice_principal)
    factories.ended(alice_principal, stream_id=standing.stream_id)
    with TESTS:
        Event.objects.filter(execution_id=standing.id).delete()
        Stream.objects.filter(pk=standing.stream_id).update(first_kept=3)

    assert lines() == []


def test_on_a_terminal_it_says_how_far_it_is(alice_principal, monkeypatch) -> None:
    monkeypatch.setattr(spans, "STRETCH", 1)
    for _ in range(3):
        factories.ended(alice_principal)
    err = io.StringIO()
    err.isatty = lambda: True  # type: ignore[method-assign]

    call_command("check_invariants", stdout=io.StringIO(), stderr=err)

    assert "\rexecutions: about " in err.getvalue()
