"""Compiled columns say the same as Django's own fields, there and back, on both databases."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apps.core import sql
from apps.core.columns import columns_of
from apps.executions.models import Content, Event, Execution, Stream
from apps.executions.states import ExecutionState, Phase
from tests import factories
from tests.factories import TESTS

pytestmark = pytest.mark.django_db
TEXT = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=60
)
VALUES = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | TEXT
JSON = st.recursive(
    VALUES | st.floats(-1e6, 1e6, width=32),  # PostgreSQL keeps numbers as decimals
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4)
    ),
    max_leaves=12,
)
TIMES = st.datetimes(
    datetime(1971, 1, 1, tzinfo=UTC).replace(tzinfo=None),
    datetime(2200, 1, 1, tzinfo=UTC).replace(tzinfo=None),
)
unhurried = settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@pytest.fixture
def running(alice_principal):
    return factories.running(alice_principal)


def where(standing) -> dict[str, object]:
    return {"organisation_id": standing.organisation_id, "execution_id": standing.id}


@unhurried
@given(value=st.dictionaries(TEXT, JSON, max_size=5))
def test_json_comes_back_as_it_was(value, running) -> None:
    with TESTS:
        sql.swap(Content, where=where(running), values={"input": value})

        ((compiled,),) = sql.select(Content, ("input",), where=where(running))
        assert Content.objects.get(execution_id=running.id).input == compiled == value


@unhurried
@given(value=TEXT)
def test_text_comes_back_as_it_was(value, running) -> None:
    with TESTS:
        sql.swap(Content, where=where(running), values={"partial": value})

        ((compiled,),) = sql.select(Content, ("partial",), where=where(running))
        assert Content.objects.get(execution_id=running.id).partial == compiled == value


@unhurried
@given(at=TIMES, hours=st.integers(-12, 14))
def test_moments_come_back_as_they_were_whatever_their_zone(at, hours, running) -> None:
    moment = at.replace(tzinfo=timezone(timedelta(hours=hours)))
    own = {"id": running.id, "organisation_id": running.organisation_id}
    with TESTS:
        sql.swap(Execution, where=own, values={"available_at": moment})

        ((compiled,),) = sql.select(Execution, ("available_at",), where=own)
        read = Execution.objects.get(id=running.id).available_at
        found = Execution.objects.filter(id=running.id, available_at=moment).exists()
    assert read == compiled == moment
    assert compiled.utcoffset() == UTC.utcoffset(None)
    assert found, "the ORM compares it with another spelling of the same moment"


@pytest.mark.parametrize(
    "model", [Stream, Execution, Content, Event], ids=lambda m: m.__name__
)
def test_every_column_reads_as_the_orm_reads_it(model, alice_principal) -> None:
    standing = factories.ended(alice_principal)
    names = tuple(field.attname for field in model._meta.concrete_fields)
    with TESTS:
        row = model.objects.values(*names).first()
        own = {"id": row["id"], "organisation_id": standing.organisation_id}
        (compiled,) = sql.select(model, names, where=own)

    assert dict(zip(names, compiled, strict=True)) == row


def test_enums_are_stored_as_the_text_they_are(running) -> None:
    own = {"id": running.id, "organisation_id": running.organisation_id}
    with TESTS:
        sql.swap(Execution, where=own, values={"phase": Phase.THINKING})

        ((phase, state),) = sql.select(Execution, ("phase", "state"), where=own)
    assert (phase, state) == ("thinking", ExecutionState.RUNNING)
    assert type(phase) is str


def test_select_orders_and_limits(alice_principal) -> None:
    stream = factories.stream(alice_principal)
    for _ in range(3):
        factories.ended(alice_principal, stream_id=stream)
    own = {"stream_id": stream, "organisation_id": alice_principal.organisation_id}

    with TESTS:
        up = [seq for (seq,) in sql.select(Event, ("seq",), where=own, order="seq")]
        down = [
            seq
            for (seq,) in sql.select(Event, ("seq",), where=own, order="-seq", limit=2)
        ]

    assert up == sorted(up) == list(range(1, len(up) + 1))
    assert down == up[::-1][:2]


def test_columns_are_named_in_the_tables_order() -> None:
    names = [field.attname for field in Execution._meta.concrete_fields]

    assert (
        list(columns_of(Execution, "sqlite"))
        == list(columns_of(Execution, "postgresql"))
        == names
    )


def test_a_default_that_is_made_anew_differs_from_row_to_row(alice_principal) -> None:
    rows = [factories.stream(alice_principal) for _ in range(3)]

    with TESTS:
        epochs = set(Stream.objects.filter(id__in=rows).values_list("epoch", flat=True))
    assert len(epochs) == 3
    assert all(isinstance(epoch, uuid.UUID) for epoch in epochs)
