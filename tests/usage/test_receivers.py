"""What a finished execution leaves in the books, in its own transaction."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest
from django.db import transaction
from django.utils import timezone

from apps.core.database import write_now
from apps.core.events import wiring
from apps.core.tenancy import tenant
from apps.executions import endings
from apps.executions.events import Usage
from apps.executions.states import ExecutionState
from apps.usage import prices
from apps.usage.models import Record
from tests import factories

PAID = Usage(
    model="openai:gpt-4o-mini", input_tokens=900, output_tokens=80, cost_usd="0.25"
)


def finish(who, state=ExecutionState.COMPLETED, usage=PAID):
    standing = factories.running(who, reply_id=None)
    ending = replace(factories.ending(state, text="done"), usage=usage)
    write_now(
        who.scope,
        lambda: endings.finish(
            standing, ending, actor=factories.TESTER, now=timezone.now()
        ),
    )
    return standing


def rows_of(who):
    with tenant(who.organisation_id):
        return list(Record.objects.all())


def test_usage_is_a_projector_of_finished_executions():
    assert (
        "apps.usage.receivers.record_own_usage"
        in wiring()["projectors"]["ExecutionFinished"]
    )


def test_a_completed_execution_leaves_one_record_of_its_consumption(alice_principal):
    standing = finish(alice_principal)

    (row,) = rows_of(alice_principal)
    assert row.source == Record.Source.NETRA
    assert (row.organisation_id, row.execution_id) == (
        standing.organisation_id,
        standing.id,
    )
    assert (row.provider, row.model, row.feature) == (
        "openai",
        "gpt-4o-mini",
        standing.agent,
    )
    assert (row.input_tokens, row.output_tokens, row.cost_usd) == (
        900,
        80,
        Decimal("0.25"),
    )


def test_a_cost_that_is_missing_is_found_on_the_price_list(alice_principal):
    finish(alice_principal, usage=replace(PAID, cost_usd="0"))

    (row,) = rows_of(alice_principal)
    assert row.cost_usd == prices.cost_usd("openai", "gpt-4o-mini", 900, 80)


@pytest.mark.parametrize(
    "usage",
    [
        Usage(model="offline"),
        Usage(model="offline", input_tokens=50, output_tokens=50),
        Usage(model="scripted:golden-turn", input_tokens=50, output_tokens=50),
        Usage(),
        replace(PAID, input_tokens=0, output_tokens=0),
        Usage(model="golden-turn", input_tokens=5, output_tokens=20),
    ],
)
def test_what_costs_nothing_leaves_no_record(alice_principal, usage):
    finish(alice_principal, usage=usage)

    assert rows_of(alice_principal) == []


@pytest.mark.parametrize(
    "state", [ExecutionState.FAILED, ExecutionState.TIMEOUT, ExecutionState.CANCELLED]
)
def test_an_execution_that_did_not_complete_leaves_no_record(alice_principal, state):
    finish(alice_principal, state)

    assert rows_of(alice_principal) == []


def test_the_record_vanishes_with_the_transaction_that_ends_the_execution(
    alice_principal,
):
    standing = factories.running(alice_principal, reply_id=None)
    ending = replace(factories.ending(text="done"), usage=PAID)

    def broken():
        endings.finish(standing, ending, actor=factories.TESTER, now=timezone.now())
        assert Record.objects.count() == 1
        raise RuntimeError

    with pytest.raises(RuntimeError), transaction.atomic():
        write_now(alice_principal.scope, broken)

    assert rows_of(alice_principal) == []
