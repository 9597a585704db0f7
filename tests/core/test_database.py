"""Units of work: committed together, failing alone, answered only once they are safe."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import (
    DatabaseError,
    IntegrityError,
    OperationalError,
    connection,
    transaction,
)

from apps.accounts.models import Membership, Organisation
from apps.core import database, writer
from apps.core.errors import ConflictError, UnavailableError
from apps.core.tenancy import current_scope, system, tenant
from apps.core.transactions import (
    RETRIED,
    ConstraintError,
    DatabaseConfigurationError,
    LockTimeoutError,
)

pytestmark = [pytest.mark.live, pytest.mark.usefixtures("committed")]
TESTS = system("database tests")
on_sqlite = pytest.mark.skipif(
    connection.vendor != "sqlite", reason="only SQLite has one writer and group commit"
)


def add(slug: str) -> str:
    Organisation.objects.create(slug=slug, name=slug)
    return slug


async def slugs() -> set[str]:
    return await database.read(
        TESTS, lambda: set(Organisation.objects.values_list("slug", flat=True))
    )


class Gate:
    """Holds the writer inside a unit, so that what follows waits and is committed together."""

    def __init__(self) -> None:
        self.inside, self.open = threading.Event(), threading.Event()

    def wait(self) -> str:
        self.inside.set()
        assert self.open.wait(10), "nobody opened the gate"
        return "through"

    async def reached(self) -> None:
        assert await asyncio.to_thread(self.inside.wait, 10), "nobody came to the gate"


@pytest.fixture
def gate() -> Iterator[Gate]:
    gate = Gate()
    yield gate
    gate.open.set()


async def grouped(gate: Gate, *units: Callable[[], Any]) -> list[Any]:
    """Run `units` so that they share one commit; errors are among the results."""
    first = asyncio.ensure_future(database.write(TESTS, gate.wait))
    await gate.reached()
    waiting = [asyncio.ensure_future(database.write(TESTS, unit)) for unit in units]
    await asyncio.sleep(0.02)
    gate.open.set()
    await first
    return await asyncio.wait_for(asyncio.gather(*waiting, return_exceptions=True), 20)


async def test_what_was_written_is_there_when_the_answer_comes() -> None:
    assert await database.write(TESTS, lambda: add("one")) == "one"

    assert await slugs() == {"one"}


async def test_many_writes_at_once_are_all_there() -> None:
    names = {f"o{n}" for n in range(200)}

    answers = await asyncio.gather(
        *(database.write(TESTS, lambda n=name: add(n)) for name in names)
    )

    assert set(answers) == names
    assert await slugs() == names


@pytest.mark.mission_critical
async def test_a_failing_unit_takes_nothing_of_its_neighbours_with_it(
    gate: Gate,
) -> None:
    def fails() -> None:
        add("never")
        raise ConflictError("on purpose")

    before, failed, after = await grouped(
        gate, lambda: add("before"), fails, lambda: add("after")
    )

    assert (before, after) == ("before", "after")
    assert isinstance(failed, ConflictError)
    assert await slugs() == {"before", "after"}


@pytest.mark.mission_critical
async def test_a_unit_that_breaks_a_constraint_fails_alone(gate: Gate) -> None:
    twins = await grouped(
        gate, lambda: add("twice"), lambda: add("twice"), lambda: add("third")
    )

    # On PostgreSQL the twins run side by side: either may be the second.
    assert sum(isinstance(answer, ConstraintError) for answer in twins) == 1
    assert twins.count("twice") == 1
    assert await slugs() == {"twice", "third"}


@pytest.mark.mission_critical
async def test_when_the_shared_commit_fails_each_unit_is_tried_alone(
    gate: Gate,
) -> None:
    def dangling() -> None:
        # Foreign keys are checked at commit, so this fails for the whole group there.
        Membership.objects.create(organisation_id=uuid.uuid4(), user_id=uuid.uuid4())

    before, failed, after = await grouped(
        gate, lambda: add("before"), dangling, lambda: add("after")
    )

    assert (before, after) == ("before", "after")
    assert isinstance(failed, IntegrityError)
    assert await slugs() == {"before", "after"}


@on_sqlite
@pytest.mark.mission_critical
@pytest.mark.regression
async def test_when_sqlite_gives_up_the_shared_transaction_nothing_is_lost(
    gate: Gate,
) -> None:
    runs = []

    def disk_full() -> None:
        runs.append("run")
        connection.connection.execute(
            "ROLLBACK"
        )  # as SQLite does by itself on SQLITE_FULL
        raise OperationalError("database or disk is full")

    before, failed, after = await grouped(
        gate, lambda: add("before"), disk_full, lambda: add("after")
    )

    assert len(runs) == 2, "the group must have been tried together, then alone"
    assert (before, after) == ("before", "after")
    assert isinstance(failed, DatabaseError)
    assert await slugs() == {"before", "after"}


@on_sqlite
@pytest.mark.mission_critical
async def test_no_answer_is_given_before_the_shared_commit(gate: Gate) -> None:
    second = Gate()
    first = asyncio.ensure_future(database.write(TESTS, gate.wait))
    await gate.reached()
    early = asyncio.ensure_future(database.write(TESTS, lambda: add("early")))
    late = asyncio.ensure_future(database.write(TESTS, second.wait))
    await asyncio.sleep(0.02)
    gate.open.set()
    await first
    await second.reached()

    # `early` has run, its neighbour has not ended: nothing is committed, nothing answered.
    assert not early.done()
    assert await slugs() == set()

    second.open.set()
    assert await asyncio.gather(early, late) == ["early", "through"]
    assert await slugs() == {"early"}


async def test_bells_ring_after_the_commit_and_only_for_what_was_committed(
    gate: Gate,
) -> None:
    rung = []

    def unit(name: str, error: Exception | None = None) -> str:
        add(name)
        transaction.on_commit(lambda: rung.append((name, Organisation.objects.count())))
        if error:
            raise error
        return name

    await grouped(
        gate,
        lambda: unit("a"),
        lambda: unit("never", ConflictError("on purpose")),
        lambda: unit("b"),
    )

    assert sorted(name for name, _ in rung) == ["a", "b"]
    if connection.vendor == "sqlite":
        assert [count for _, count in rung] == [2, 2], "both rang after the one commit"


@pytest.mark.mission_critical
@pytest.mark.regression
async def test_a_bell_that_fails_after_the_commit_makes_no_unit_run_twice(
    gate: Gate,
) -> None:
    runs = []

    def unit(name: str) -> str:
        runs.append(name)
        transaction.on_commit(fails)  # not robust: its error comes out of the commit
        return add(name)

    def fails() -> None:
        raise busy()

    together = await grouped(gate, lambda: unit("a"), lambda: unit("b"))
    alone = await database.write(TESTS, lambda: unit("c"))

    assert (together, alone) == (["a", "b"], "c")
    assert sorted(runs) == ["a", "b", "c"]  # on PostgreSQL side by side
    assert await slugs() == {"a", "b", "c"}


async def test_each_unit_runs_in_its_own_scope(gate: Gate) -> None:
    one, two = uuid.uuid4(), uuid.uuid4()

    scopes = await asyncio.gather(
        *(
            database.write(tenant(o), lambda: current_scope().tenant_id)
            for o in (one, two, one)
        ),
        *(
            database.read(tenant(o), lambda: current_scope().tenant_id)
            for o in (two, one)
        ),
    )

    assert scopes == [one, two, one, two, one]


@pytest.mark.parametrize("failures", [0, 1, 2])
async def test_a_passing_conflict_is_tried_again(failures: int) -> None:
    tries = []

    def unit() -> str:
        tries.append(len(tries))
        if len(tries) <= failures:
            raise busy()
        return add("late")

    assert await database.write(TESTS, unit) == "late"
    assert len(tries) == failures + 1


async def test_a_conflict_that_does_not_pass_ends_after_a_few_tries() -> None:
    tries = []

    def unit() -> None:
        tries.append(len(tries))
        raise busy()

    with pytest.raises(LockTimeoutError):
        await database.write(TESTS, unit)
    assert len(tries) == RETRIED[LockTimeoutError].times + 1


async def test_any_other_error_is_not_tried_again() -> None:
    tries = []

    def unit() -> None:
        tries.append(len(tries))
        raise IntegrityError("on purpose")

    with pytest.raises(IntegrityError):
        await database.write(TESTS, unit)
    assert len(tries) == 1


def busy() -> OperationalError:
    cause = sqlite3.OperationalError("database is locked")
    cause.sqlite_errorname = "SQLITE_BUSY"
    error = OperationalError("database is locked")
    error.__cause__ = cause
    return error


@on_sqlite
@pytest.mark.security
async def test_a_reader_cannot_write() -> None:
    with pytest.raises(DatabaseConfigurationError):
        await database.read(TESTS, lambda: add("sneaked"))

    assert await slugs() == set()


@on_sqlite
async def test_when_too_much_waits_a_write_is_refused_at_once(
    gate: Gate, monkeypatch
) -> None:
    monkeypatch.setattr(writer, "QUEUE_LIMIT", 3)
    first = asyncio.ensure_future(database.write(TESTS, gate.wait))
    await gate.reached()
    waiting = [
        asyncio.ensure_future(database.write(TESTS, lambda: "done")) for _ in range(3)
    ]
    await asyncio.sleep(0)

    with pytest.raises(UnavailableError) as refused:
        await database.write(TESTS, lambda: "one too many")

    assert refused.value.retry_after
    gate.open.set()
    assert await asyncio.gather(first, *waiting) == ["through", "done", "done", "done"]


@on_sqlite
@pytest.mark.regression
async def test_what_still_waits_when_the_writer_closes_is_answered(gate: Gate) -> None:
    first = asyncio.ensure_future(database.write(TESTS, gate.wait))
    await gate.reached()
    pools = database._pools()
    closing = asyncio.get_running_loop().run_in_executor(None, pools.close)
    await asyncio.sleep(0.05)
    late = asyncio.ensure_future(pools.write(TESTS, lambda: add("late"), None))
    await asyncio.sleep(0)
    gate.open.set()

    with pytest.raises(UnavailableError):
        await asyncio.wait_for(late, 10)
    assert await first == "through"
    await closing


async def test_a_caller_that_went_away_disturbs_nobody(gate: Gate) -> None:
    first = asyncio.ensure_future(database.write(TESTS, gate.wait))
    await gate.reached()
    gone = asyncio.ensure_future(database.write(TESTS, lambda: add("gone")))
    stays = asyncio.ensure_future(database.write(TESTS, lambda: add("stays")))
    await asyncio.sleep(0.02)
    gone.cancel()
    gate.open.set()

    assert await stays == "stays"
    await first
    assert "stays" in await slugs()


def test_write_now_is_one_transaction_in_the_calling_thread() -> None:
    def unit() -> None:
        add("half")
        raise ConflictError("on purpose")

    with pytest.raises(ConflictError):
        database.write_now(TESTS, unit)
    assert not Organisation.objects.exists()

    assert database.write_now(TESTS, lambda: add("whole")) == "whole"
    assert Organisation.objects.count() == 1
