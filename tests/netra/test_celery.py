"""Celery carries wake-up calls only: nothing is redelivered, nothing is stored, nobody waits."""

from __future__ import annotations

import socket
import time
import uuid

import pytest
from django.core.management import CommandError, call_command
from django.test import override_settings

from apps.core.errors import UnavailableError
from apps.core.tenancy import current_scope, staff, system, tenant
from apps.executions import tasks
from netra import celery
from netra.celery import (
    PATIENCE,
    SCOPE_HEADER,
    Publisher,
    ScopedTask,
    UnscopedTaskError,
    app,
)


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
            Publisher()(uuid.uuid4(), uuid.uuid4())

    assert time.monotonic() - started < PATIENCE * 2


@pytest.mark.parametrize("command", ["worker", "beat"])
@override_settings(NETRA_REDIS_URL="")
def test_workers_without_redis_are_refused_in_words(command: str) -> None:
    with pytest.raises(CommandError, match="NETRA_REDIS_URL"):
        call_command(command, skip_checks=True)


# -- for whom ------------------------------------------------------------------------------

ACME, ALICE = uuid.uuid4(), uuid.uuid4()


def delivered(task: ScopedTask, headers: dict[str, object]) -> object:
    """What becomes of a message in a worker."""
    task.push_request(called_directly=False, **headers)
    try:
        return task()
    finally:
        task.pop_request()


def task_that(work, **options) -> ScopedTask:
    return app.task(work, name=f"tests.{uuid.uuid4().hex}", **options)


def stamped() -> dict[str, object]:
    headers: dict[str, object] = {}
    celery.stamp(headers=headers)
    return headers


@pytest.mark.security
def test_a_task_runs_in_the_scope_in_which_it_was_published() -> None:
    with tenant(ACME, ALICE):
        headers = stamped()

    scope = delivered(task_that(current_scope), headers)

    assert scope == tenant(ACME, ALICE)


@pytest.mark.security
@pytest.mark.parametrize(
    "told",
    [None, [], ["x", None], [None, None], str(ACME), [str(ACME)], {"a": 1}],
    ids=["none", "empty", "no id", "nothing twice", "text", "one", "mapping"],
)
def test_a_message_without_an_organisation_is_refused(told: object) -> None:
    with pytest.raises(UnscopedTaskError):
        delivered(task_that(current_scope), {SCOPE_HEADER: told} if told else {})


def test_only_an_organisations_scope_becomes_a_header() -> None:
    with system("a test"):
        assert stamped() == {}
    with staff(ALICE):
        assert stamped() == {}
    assert stamped() == {}


def test_a_task_of_the_system_needs_no_organisation() -> None:
    def work() -> str:
        return "done"

    assert delivered(task_that(work, system="a test"), {}) == "done"


@pytest.mark.security
def test_the_tasks_of_the_system_are_exactly_these() -> None:
    assert tasks.sweep.name in app.tasks
    ours = {
        name: task for name, task in app.tasks.items() if name.startswith("executions.")
    }

    assert set(ours) == {"executions.run", "executions.sweep"}
    assert {name for name, task in ours.items() if task.system} == {"executions.sweep"}


@pytest.mark.security
def test_a_wake_up_call_names_the_organisation(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[object] = []
    monkeypatch.setattr(
        celery.app, "send_task", lambda *_, **__: seen.append(stamped()[SCOPE_HEADER])
    )

    Publisher()(uuid.uuid4(), ACME)

    assert seen == [[str(ACME), None]]
