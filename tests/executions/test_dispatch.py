"""Dispatch: a message for each waiting execution, and nobody waits for the broker."""

from __future__ import annotations

import logging
import threading
import uuid

import pytest

from apps.core.errors import UnavailableError
from apps.executions import dispatch
from apps.executions.dispatch import Dispatcher

ACME = uuid.uuid4()


def test_without_workers_nothing_is_sent_and_no_thread_is_started() -> None:
    dispatcher = Dispatcher()

    dispatcher.send(uuid.uuid4(), ACME)

    assert dispatcher._thread is None


def test_every_id_is_published_in_order_by_another_thread() -> None:
    dispatcher, done = Dispatcher(), threading.Event()
    ids = [uuid.uuid4() for _ in range(20)]
    published: list[tuple[uuid.UUID, int]] = []

    def publish(execution_id: uuid.UUID, _: uuid.UUID) -> None:
        published.append((execution_id, threading.get_ident()))
        if len(published) == len(ids):
            done.set()

    dispatcher.publish = publish
    for execution_id in ids:
        dispatcher.send(execution_id, ACME)

    assert done.wait(5)
    assert [execution_id for execution_id, _ in published] == ids
    assert {thread for _, thread in published} != {threading.get_ident()}


def test_a_broker_that_is_away_is_told_of_once_and_its_losses_counted(
    caplog: pytest.LogCaptureFixture,
) -> None:
    dispatcher = Dispatcher()
    away = True

    def publish(*_: uuid.UUID) -> None:
        if away:
            raise UnavailableError("The broker is away: refused")

    dispatcher.publish = publish
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            dispatcher._send(uuid.uuid4(), ACME)
        away = False
        for _ in range(3):
            dispatcher._send(uuid.uuid4(), ACME)

    assert dispatcher.lost == 3
    assert [r.action for r in caplog.records] == ["dispatch.away", "dispatch.back"]


def test_a_slow_broker_holds_up_nobody_and_the_queue_is_bounded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    dispatcher, stuck, freed = Dispatcher(), threading.Event(), threading.Event()
    published = []

    def publish(execution_id: uuid.UUID, _: uuid.UUID) -> None:
        published.append(execution_id)
        stuck.set()
        freed.wait(10)

    dispatcher.publish = publish
    dispatcher.send(uuid.uuid4(), ACME)
    assert stuck.wait(5)

    for _ in range(dispatch.QUEUE_LIMIT + 7):
        dispatcher.send(uuid.uuid4(), ACME)

    assert len(published) == 1
    assert dispatcher.lost == 7
    freed.set()
