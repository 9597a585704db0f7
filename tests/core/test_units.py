"""A commit whose answer never came: what happened is looked up, or told to be unknown."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.db import IntegrityError, connection

from apps.accounts.models import Organisation
from apps.core import database
from apps.core.database import write_now
from apps.core.tenancy import system
from apps.core.transactions import (
    CommitUnknownError,
    ConstraintError,
    DatabaseConnectionError,
    retrying,
)
from tests.core.proxy import Cut, CuttingProxy, cutting

pytestmark = [pytest.mark.live, pytest.mark.usefixtures("committed")]
TESTS = system("unit tests")
on_postgresql = pytest.mark.skipif(
    connection.vendor != "postgresql", reason="only a server's connection can be lost"
)


class Unit:
    """Adds an organisation, and counts how often it ran."""

    def __init__(self) -> None:
        self.runs = 0

    def __call__(self) -> str:
        self.runs += 1
        slug = f"run-{self.runs}"
        Organisation.objects.create(slug=slug, name=slug)
        return slug


def is_there(slug: str) -> bool:
    return Organisation.objects.filter(slug=slug).exists()


def slugs() -> list[str]:
    return list(Organisation.objects.order_by("slug").values_list("slug", flat=True))


@pytest.fixture
def wire() -> Iterator[CuttingProxy]:
    """The wire between this process and the database."""
    given: dict[str, Any] = connection.settings_dict
    kept = {**given, "OPTIONS": {**given["OPTIONS"]}}
    database.close()
    connection.close()
    connection.close_pool()  # type: ignore[attr-defined]
    with cutting(given["HOST"], int(given["PORT"] or 5432)) as proxy:
        given |= {"HOST": "127.0.0.1", "PORT": str(proxy.port)}
        given["OPTIONS"] |= {"sslmode": "disable", "gssencmode": "disable"}
        yield proxy
        database.close()
        connection.close()
        connection.close_pool()  # type: ignore[attr-defined]
    given.update(kept)


@on_postgresql
@pytest.mark.mission_critical
@pytest.mark.parametrize("cut", Cut)
def test_without_a_proof_a_lost_commit_is_told_and_never_repeated(
    cut: Cut, wire: CuttingProxy
) -> None:
    unit = Unit()
    write_now(TESTS, slugs)
    wire.cut = cut

    with pytest.raises(CommitUnknownError) as caught:
        retrying(lambda: write_now(TESTS, unit))

    connection.close()
    assert (caught.value.retryable, unit.runs) == (False, 1)
    assert slugs() == (["run-1"] if cut is Cut.AFTER else [])


@on_postgresql
@pytest.mark.mission_critical
@pytest.mark.parametrize(
    ("cut", "runs"), [(Cut.AFTER, ["run-1"]), (Cut.BEFORE, ["run-1", "run-2"])]
)
async def test_with_a_proof_a_lost_commit_is_looked_up_and_repeated_only_if_missing(
    cut: Cut, runs: list[str], wire: CuttingProxy
) -> None:
    unit = Unit()
    await database.write(TESTS, slugs)
    wire.cut = cut

    told = await database.write(TESTS, unit, proof=is_there)

    assert (told, unit.runs) == (runs[-1], len(runs))
    assert await database.read(TESTS, slugs) == [told]


@on_postgresql
async def test_a_connection_lost_before_the_commit_is_only_a_reason_to_begin_anew() -> (
    None
):
    unit = Unit()

    def interrupted() -> str:
        told = unit()
        if unit.runs == 1:
            with connection.cursor() as cursor:
                cursor.execute("SET ROLE NONE")  # a superuser ends a superuser's
                cursor.execute("SELECT pg_terminate_backend(pg_backend_pid(), 5000)")
        return told

    assert await database.write(TESTS, interrupted) == "run-2"
    assert await database.read(TESTS, slugs) == ["run-2"]


@on_postgresql
async def test_a_reader_whose_connection_was_ended_reads_again() -> None:
    pids: list[int] = []

    def look() -> list[str]:
        with connection.cursor() as cursor:
            if not pids:
                pids.append(1)
                cursor.execute("SET ROLE NONE")  # a superuser ends a superuser's
                cursor.execute("SELECT pg_terminate_backend(pg_backend_pid(), 5000)")
        return slugs()

    assert await database.read(TESTS, look) == []


def test_what_the_database_refuses_at_the_commit_is_not_unknown() -> None:
    def breaks() -> None:
        Organisation.objects.create(slug="twice", name="x")
        Organisation.objects.create(slug="twice", name="x")

    with pytest.raises(ConstraintError) as caught:
        write_now(TESTS, breaks)

    assert isinstance(caught.value.__cause__, IntegrityError)
    assert not isinstance(caught.value, DatabaseConnectionError)
    assert slugs() == []
