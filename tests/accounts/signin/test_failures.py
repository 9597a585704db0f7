"""Wrong passwords: gathered by source and minute, in bounded memory, told where they belong."""

from __future__ import annotations

import json

import pytest
from django.core.cache import cache
from django.test import Client

from apps.accounts.signin import failures
from apps.accounts.signin.failures import OTHERS, Failures
from apps.audits.acts import Act
from apps.audits.models import Entry
from apps.audits.trail import PLATFORM
from apps.core.transactions import DiskFullError
from tests.factories import TESTS, domain

pytestmark = pytest.mark.security


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def gathered(monkeypatch):
    cache.clear()
    made = Failures(clock := Clock())
    monkeypatch.setattr(failures, "failures", made)
    monkeypatch.setattr(failures, "note", made.note)
    return made, clock


def told() -> list[dict]:
    with TESTS:
        rows = Entry.objects.filter(act=Act.SIGN_INS_FAILED).order_by("at")
        return [json.loads(row.body) for row in rows]


def test_many_tries_are_one_entry_in_the_trail_of_their_domain(gathered, alice, acme):
    _, clock = gathered
    domain(acme)
    client = Client()
    for email in (alice.email, "bob@acme.example", alice.email):
        client.post("/accounts/login/", {"login": email, "password": "wrong"})
    assert failures.tell() == 0, "the minute is not over"
    clock.now += 61

    assert failures.tell() == 1

    (entry,) = told()
    assert entry["organisation"] == str(acme.pk)
    assert entry["outcome"] == "refused"
    assert entry["target"] == "source:127.0.0.1"
    assert entry["details"] == {"count": 3, "accounts": 2, "domain": "acme.example"}
    assert failures.tell() == 0


def test_strangers_are_told_to_the_platform_without_their_address(gathered, db):
    made, clock = gathered
    made.note("203.0.113.9", "someone@nowhere.example")
    clock.now += 61

    failures.tell()

    (entry,) = told()
    assert entry["organisation"] == str(PLATFORM)
    assert "nowhere" not in json.dumps(entry)


def test_what_the_database_did_not_take_is_told_later(gathered, db, monkeypatch):
    made, clock = gathered
    for number in range(3):
        made.note(f"203.0.113.{number}", "someone@nowhere.example")
    clock.now += 61
    write, tries = failures.write_now, []

    def failing_once(scope, unit):
        tries.append(scope)
        if len(tries) == 2:
            raise DiskFullError("There is no room left.")
        return write(scope, unit)

    monkeypatch.setattr(failures, "write_now", failing_once)
    with pytest.raises(DiskFullError):
        failures.tell()
    made.note("203.0.113.2", "another@nowhere.example")
    clock.now += 61
    failures.tell()

    counts = {entry["target"]: entry["details"]["count"] for entry in told()}
    assert counts == {
        "source:203.0.113.0": 1,
        "source:203.0.113.1": 1,
        "source:203.0.113.2": 2,
    }


def test_memory_and_rows_are_bounded(gathered, db, monkeypatch):
    monkeypatch.setattr(failures, "SOURCES_MOST", 3)
    monkeypatch.setattr(failures, "ACCOUNTS_MOST", 5)
    made, clock = gathered
    for number in range(100):
        made.note(f"203.0.113.{number}", f"someone{number}@nowhere.example")
    clock.now += 61

    taken = made.taken()

    assert len(taken) == 4
    assert taken[OTHERS].count == 97
    assert len(taken[OTHERS].accounts) == 5


def test_a_wrong_code_of_a_second_factor_counts(gathered, support):
    from tests.accounts.sessions.test_sessions import by_password
    from tests.accounts.signin.test_second_factor import answer_code, with_totp

    made, clock = gathered
    with_totp(support)

    answer_code(by_password(support), "000000")
    clock.now += 61

    assert [tries.count for tries in made.taken().values()] == [1]
