"""While the database is full, busy or damaged: what people hear at the doors, and what still works."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from django.contrib.sessions.models import Session
from django.db import OperationalError, connection
from django.test import Client

from apps.audits.models import Receipt
from apps.chat.models import Message
from apps.core import database, transactions
from apps.core.transactions import LockTimeoutError
from tests import doors, factories
from tests.chat.questions import aside
from tests.chat.sockets import Client as Socket
from tests.factories import PASSWORD, TESTS

pytestmark = [
    pytest.mark.live,
    pytest.mark.integration,
    pytest.mark.usefixtures("committed"),
]
on_sqlite = pytest.mark.skipif(
    connection.vendor != "sqlite", reason="a full disk is provoked on SQLite"
)
LONG = "a long question " * 1500


def limit(pages: int) -> None:
    """The database may grow to so many pages; 0: not at all."""
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA page_count")
        cursor.execute(f"PRAGMA max_page_count = {pages or cursor.fetchone()[0]}")
        cursor.execute("PRAGMA freelist_count")
        free = cursor.fetchone()[0]
    assert free * 4096 < len(LONG) or pages, "there would still be room"


@contextmanager
def full_disk() -> Iterator[None]:
    """This thread's connection cannot make the database any larger."""
    compact()
    limit(0)
    try:
        yield
    finally:
        limit(2**30)


def compact() -> None:
    """Earlier tests left pages that could be used again."""
    with connection.cursor() as cursor:
        cursor.execute("VACUUM")


def whole() -> str:
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA integrity_check")
        return str(cursor.fetchone()[0])


@contextmanager
def another_process_writes() -> Iterator[None]:
    other = sqlite3.connect(connection.settings_dict["NAME"], isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        other.close()


@on_sqlite
@pytest.mark.mission_critical
def test_on_a_full_disk_asking_is_refused_in_words_and_reading_goes_on(
    alice_principal,
) -> None:
    client = doors.api_client(alice_principal)
    thread = doors.open_thread(alice_principal, "before")
    waiting = factories.execution(alice_principal)
    before = doors.written()

    with full_disk():
        refused = doors.ask(client, thread, {"text": LONG})
        pages = (
            "threads/",
            f"threads/{thread}/",
            "executions/",
            f"executions/{waiting.id}/",
        )
        read = [client.get(doors.API + page).status_code for page in pages]

    problem = doors.problem_of(refused)
    assert (refused.status_code, problem["code"]) == (503, "storage_full")
    assert refused["Retry-After"] == "2"
    assert "disk is full" in problem["detail"]
    assert "Traceback" not in refused.content.decode()
    assert read == [200, 200, 200, 200]
    assert doors.written() == before
    assert whole() == "ok"
    assert doors.ask(client, thread, {"text": LONG}).status_code == 202


@on_sqlite
def test_on_a_full_disk_what_runs_can_still_be_asked_to_stop(alice_principal) -> None:
    client = doors.api_client(alice_principal)
    running = factories.claim(factories.execution(alice_principal))

    with full_disk():
        answer = client.post(f"{doors.API}executions/{running.id}/cancel/")

    assert answer.status_code in {200, 202}, answer.content
    assert factories.row(running).cancel_requested_at is not None


@on_sqlite
async def test_on_a_full_disk_a_socket_hears_an_error_and_stays_open(
    alice_principal,
) -> None:
    await aside(compact)
    await database.write(TESTS, lambda: limit(0))
    socket = Socket(alice_principal)

    refused = await socket.ask("user_message", text="x" * 90, metadata={"note": LONG})
    await socket.until(lambda: socket.answer(refused))
    pinged = await socket.ask("ping")
    await socket.until(lambda: socket.answer(pinged))
    await database.write(TESTS, lambda: limit(2**30))
    accepted = await socket.ask("user_message", text="again", agent="golden-turn")
    await socket.until(lambda: socket.answer(accepted))
    await socket.leave()

    error = socket.answer(refused)
    assert error is not None
    assert error["type"] == "error"
    assert error["data"]["code"] == "storage_full"
    assert error["data"]["retry_after"]
    assert socket.answer(accepted)["type"] == "message_accepted"  # type: ignore[index]


@on_sqlite
def test_a_busy_database_is_a_503_with_a_time_and_one_wait(
    alice_principal, monkeypatch
) -> None:
    monkeypatch.delitem(transactions.RETRIED, LockTimeoutError)
    client = doors.api_client(alice_principal)
    thread = doors.open_thread(alice_principal)
    client.get(f"{doors.API}threads/")  # the token's use is noted
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA busy_timeout = 50")

    transactions.errors.clear()
    with another_process_writes():
        refused = doors.ask(client, thread, {"text": "hello"})

    problem = doors.problem_of(refused)
    assert (problem["status"], problem["code"]) == (503, "database_busy")
    assert refused["Retry-After"] == "2"
    assert problem["receipt_id"] is None
    assert transactions.errors == {"LockTimeoutError": 1}, (
        "a receipt would wait as well"
    )
    with TESTS:
        assert not Receipt.objects.exists()
        assert not Message.objects.exists()
    connection.close()


@on_sqlite
def test_a_token_whose_use_cannot_be_noted_still_reads(alice_principal) -> None:
    client = doors.api_client(alice_principal)
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA busy_timeout = 50")

    with another_process_writes():
        response = client.get(f"{doors.API}threads/")

    assert response.status_code == 200
    connection.close()


@pytest.mark.parametrize(
    ("path", "kind"), [("/", "text/html"), ("/api/v1/me/", "application/problem+json")]
)
def test_a_page_without_its_database_says_so_and_asks_it_nothing_more(
    path: str, kind: str, monkeypatch, caplog
) -> None:
    def away(*_: object, **__: object) -> None:
        raise OperationalError("secret host is away")

    client = Client(raise_request_exception=False)
    client.cookies["sessionid"] = "x" * 32
    monkeypatch.setattr(Session.objects, "get", away)
    monkeypatch.setattr("django.contrib.sessions.backends.db.SessionStore.load", away)

    with caplog.at_level(logging.CRITICAL):
        response = client.get(path)

    assert response.status_code == 503
    assert response["Content-Type"].startswith(kind)
    assert response["Retry-After"] == "2"
    assert "cannot answer right now" in response.content.decode()
    assert "secret" not in response.content.decode()


@on_sqlite
def test_signing_in_on_a_full_disk_is_refused_in_words(alice, caplog) -> None:
    client = Client(raise_request_exception=False)
    form = {"login": alice.email, "password": PASSWORD}
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA query_only = ON")
    try:
        with caplog.at_level(logging.CRITICAL):
            response = client.post("/accounts/login/", form)
    finally:
        connection.close()

    assert response.status_code == 503
    assert "manage.py doctor" in response.content.decode()
