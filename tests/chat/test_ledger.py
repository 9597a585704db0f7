"""What was sent and what was shown is written down: in batches, never for a frame, and truly."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import AsyncIterator
from datetime import timedelta
from functools import partial

import pytest
from django.db import OperationalError
from django.utils import timezone

from apps.chat import ledger as module
from apps.chat import sweeper
from apps.chat.ledger import Door, Ledger, Progress
from apps.chat.models import Delivery, Thread
from apps.core.database import write, write_now
from apps.core.flags import Switch
from apps.executions import journal
from apps.executions.journal import Draft
from apps.executions.states import EventType
from tests import factories
from tests.chat.questions import aside
from tests.chat.sockets import Client
from tests.factories import TESTS
from tests.switches import off

pytestmark = [pytest.mark.mission_critical]


def account(ledger: Ledger, who, thread_id, *, after: int = 0) -> Progress:
    return ledger.open(
        place=(who.organisation_id, who.user_id),
        thread_id=thread_id,
        connection_id=uuid.uuid4(),
        door=Door.WEBSOCKET,
        after=after,
    )


def row_of(progress: Progress) -> Delivery | None:
    with TESTS:
        found: Delivery | None = Delivery.objects.filter(
            connection_id=progress.connection_id
        ).first()
    return found


async def written(progress: Progress) -> Delivery | None:
    return await aside(row_of, progress)


async def append(who, thread_id: uuid.UUID, count: int) -> None:
    unit = partial(
        journal.append,
        organisation_id=who.organisation_id,
        stream_id=thread_id,
        drafts=[Draft(type=EventType.MESSAGE_CREATED) for _ in range(count)],
        now=timezone.now(),
    )
    await write(who.scope, unit)


@pytest.fixture
def thread_id(alice_principal) -> uuid.UUID:
    return factories.thread(alice_principal).pk


@pytest.fixture
async def client(committed, alice_principal) -> AsyncIterator[Client]:
    client = Client(alice_principal)
    yield client
    await client.leave()


@pytest.fixture
def ledger(monkeypatch) -> Ledger:
    fresh = Ledger()
    monkeypatch.setattr(module, "ledger", fresh)
    monkeypatch.setattr("apps.chat.connections.ledger", fresh)
    return fresh


# -- what is counted -------------------------------------------------------------------


async def test_sent_is_what_was_handed_over_and_not_what_waits(
    client, alice_principal, thread_id, ledger
):
    await append(alice_principal, thread_id, 5)
    client.reads.clear()

    await client.ask("subscribe", thread_id=thread_id, after=2)
    progress = client.connection.progress[thread_id]
    await client.until(lambda: progress.most > 2)

    assert (progress.sent_to, progress.most) == (2, 3), "one is under way, two wait"
    client.reads.set()
    await client.until(lambda: client.of("replayed"))
    assert (progress.began_after, progress.sent_to) == (2, 5)


async def test_what_is_sent_shown_and_ended_is_written_down(
    client, alice_principal, thread_id, ledger
):
    await append(alice_principal, thread_id, 4)
    await client.ask("subscribe", thread_id=thread_id, after=1)
    await client.until(lambda: client.of("replayed"))
    await client.ask("ack", thread_id=thread_id, seq=3)
    progress = client.connection.progress[thread_id]

    await ledger.write_changed()
    before = await written(progress)
    await client.leave(1001)
    await ledger.write_changed()
    after = await written(progress)

    assert before is not None
    assert after is not None
    assert (before.began_after, before.sent_to, before.acknowledged_to) == (1, 4, 3)
    assert (before.door, before.user_id) == ("websocket", alice_principal.user_id)
    assert before.organisation_id == alice_principal.organisation_id
    assert before.sent_at is not None
    assert before.acknowledged_at is not None
    assert before.acknowledged_at >= before.sent_at >= before.opened_at
    assert (before.closed_at, before.close_code) == (None, None)
    assert (after.pk, after.close_code) == (before.pk, 1001)
    assert after.closed_at is not None


async def test_unsubscribing_closes_the_account_and_subscribing_opens_it_again(
    client, alice_principal, thread_id, ledger
):
    await append(alice_principal, thread_id, 4)
    await client.ask("subscribe", thread_id=thread_id)
    await client.until(lambda: client.of("replayed"))
    await client.ask("unsubscribe", thread_id=thread_id)
    progress = client.connection.progress[thread_id]
    assert (progress.closed_at is not None, progress.close_code) == (True, None)

    await client.ask("subscribe", thread_id=thread_id, after=3)
    await client.until(lambda: len(client.of("replayed")) == 2)
    await ledger.write_changed()

    row = await written(progress)
    assert row is not None
    assert client.connection.progress[thread_id] is progress
    assert (row.began_after, row.sent_to, row.closed_at) == (0, 4, None)


def test_numbers_never_fall_and_a_jump_claims_nothing_between(alice_principal, ledger):
    progress = account(ledger, alice_principal, uuid.uuid4())
    for seq in (3, 2, 1):
        progress.sending(seq)
        progress.sent(seq)
        progress.acknowledge(seq)
    assert (progress.sent_to, progress.acknowledged_to) == (3, 3)

    progress.reopen(10)

    assert (progress.began_after, progress.sent_to) == (10, 10)


# -- how it is written -----------------------------------------------------------------


async def test_a_hundred_frames_to_ten_sockets_are_one_statement(
    committed, alice_principal, thread_id, ledger, monkeypatch
):
    units: list[int] = []
    store = module.store
    monkeypatch.setattr(
        module, "store", lambda rows: (units.append(len(rows)), store(rows))
    )
    accounts = [account(ledger, alice_principal, thread_id) for _ in range(10)]
    for seq in range(1, 101):
        for progress in accounts:
            progress.sent(seq)

    await ledger.write_changed()
    await ledger.write_changed()

    assert units == [10]
    assert {(await written(p)).sent_to for p in accounts} == {100}  # type: ignore[union-attr]


@pytest.mark.performance
def test_a_batch_is_two_statements_whatever_its_size(
    alice_principal, thread_id, ledger, django_assert_num_queries
):
    rows = [account(ledger, alice_principal, thread_id).row() for _ in range(150)]

    with TESTS, django_assert_num_queries(2):
        module.store(rows)
    with TESTS, django_assert_num_queries(2):
        module.store(rows)

    with TESTS:
        assert Delivery.objects.count() == 150


async def test_a_running_ledger_writes_once_a_second_at_most_and_soon_after_an_end(
    committed, alice_principal, thread_id, ledger, monkeypatch
):
    monkeypatch.setattr(module, "WRITE_SECONDS", 60)
    monkeypatch.setattr(module, "GATHER_SECONDS", 0.01)
    ledger.start()
    progress = account(ledger, alice_principal, thread_id)
    progress.sent(1)
    await asyncio.sleep(0.1)
    assert await written(progress) is None

    progress.close(1000)
    async with asyncio.timeout(10):
        while (row := await written(progress)) is None:  # noqa: ASYNC110
            await asyncio.sleep(0.01)

    assert (row.sent_to, row.close_code) == (1, 1000)
    await ledger.stop()


async def test_what_changed_last_is_written_when_the_server_stops(
    committed, alice_principal, thread_id, ledger
):
    ledger.start()
    progress = account(ledger, alice_principal, thread_id)
    progress.sent(7)

    await ledger.stop()

    row = await written(progress)
    assert row is not None
    assert row.sent_to == 7


async def test_while_the_database_is_away_accounts_wait_and_it_is_told_once(
    committed, alice_principal, thread_id, ledger, monkeypatch, caplog
):
    progress = account(ledger, alice_principal, thread_id)

    def away(rows: object) -> None:
        raise OperationalError("the database is away")

    with caplog.at_level(logging.WARNING), monkeypatch.context() as patch:
        patch.setattr(module, "store", away)
        for _ in range(3):
            await ledger.write_changed()
    progress.sent(2)
    await ledger.write_changed()

    row = await written(progress)
    assert row is not None
    assert row.sent_to == 2
    assert len([r for r in caplog.records if r.name == module.__name__]) == 1


def test_so_many_accounts_wait_and_no_more(alice_principal, ledger, monkeypatch):
    monkeypatch.setattr(module, "WAITING_MAX", 3)

    accounts = [account(ledger, alice_principal, uuid.uuid4()) for _ in range(5)]

    assert [progress.waiting for progress in accounts] == [False] * 2 + [True] * 3
    assert ledger.lost == 2
    accounts[0].sent(1)
    assert accounts[0].waiting, "what was dropped may come again"


async def test_a_thread_that_is_deleted_meanwhile_takes_nobody_elses_account_along(
    committed, alice_principal, thread_id, ledger
):
    gone = (await aside(factories.thread, alice_principal)).pk
    lost, kept = (account(ledger, alice_principal, t) for t in (gone, thread_id))

    def delete() -> None:
        with TESTS:
            Thread.objects.filter(pk=gone).delete()

    await aside(delete)
    await ledger.write_changed()

    assert await written(lost) is None
    assert await written(kept) is not None


async def test_with_the_switch_off_nothing_is_written(
    client, alice_principal, thread_id, ledger
):
    with off(Switch.DELIVERY_LEDGER):
        await append(alice_principal, thread_id, 2)
        await client.ask("subscribe", thread_id=thread_id)
        await client.until(lambda: client.of("replayed"))
        refused = await client.ask("ack", thread_id=thread_id, seq=9)
        await client.until(lambda: client.answer(refused))
        await ledger.write_changed()

    assert await written(client.connection.progress[thread_id]) is None


# -- forgetting ------------------------------------------------------------------------


@pytest.mark.django_db
def test_accounts_are_forgotten_after_thirty_days_in_bounded_batches(
    alice_principal, mallory_principal, ledger, monkeypatch
):
    monkeypatch.setattr(sweeper, "BATCH", 2)
    monkeypatch.setattr(sweeper, "BATCHES", 2)
    for who in (alice_principal, mallory_principal):
        thread = factories.thread(who).pk
        for age in (31, 31, 31, 29):
            progress = account(ledger, who, thread)
            progress.opened_at = timezone.now() - timedelta(days=age)
            write_now(TESTS, partial(module.store, [progress.row()]))

    with off(Switch.RETENTION):
        assert sweeper.forget_old_deliveries() == 0
    dropped = [sweeper.forget_old_deliveries() for _ in range(3)]

    assert dropped == [4, 2, 0]
    with TESTS:
        assert Delivery.objects.count() == 2
