"""Celery carries wake-up calls only: nothing is redelivered, nothing is stored, nobody waits."""

from __future__ import annotations

import socket
import time
import uuid

import pytest
from django.core.management import CommandError, call_command
from django.test import override_settings

from apps.core.errors import UnavailableError
from netra import celery
from netra.celery import PATIENCE, Publisher, app


def test_a_message_is_taken_once_and_leaves_no_result() -> None:
    assert app.conf.task_acks_late is False
    assert app.conf.task_ignore_result is True
    assert app.conf.result_backend is None
    assert app.conf.worker_prefetch_multiplier == 1
    assert app.conf.broker_connection_retry_on_startup is True
    assert app.conf.broker_connection_max_retries is None


def test_a_scheduled_sweep_does_not_pile_up_while_no_worker_is_there() -> None:
    (sweep,) = app.conf.beat_schedule.values()

    assert sweep["task"] == "executions.sweep"
    assert sweep["options"]["expires"] <= sweep["schedule"]


@pytest.mark.faults
@pytest.mark.parametrize("frozen", [False, True], ids=["refused", "frozen"])
def test_a_broker_that_is_away_fails_in_time(
    frozen: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        if frozen:
            listener.listen()
        url = f"redis://127.0.0.1:{listener.getsockname()[1]}/0"
        monkeypatch.setattr(
            celery, "app", celery.Celery("test", broker=url, set_as_current=False)
        )
        started = time.monotonic()

        with pytest.raises(UnavailableError):
            Publisher()(uuid.uuid4())

    assert time.monotonic() - started < PATIENCE * 2


@pytest.mark.parametrize("command", ["worker", "beat"])
@override_settings(NETRA_REDIS_URL="")
def test_workers_without_redis_are_refused_in_words(command: str) -> None:
    with pytest.raises(CommandError, match="NETRA_REDIS_URL"):
        call_command(command, skip_checks=True)
