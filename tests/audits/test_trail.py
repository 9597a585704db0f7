"""The sealed trail: entries in order, in the act's own transaction, by several writers at once."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from asgiref.sync import sync_to_async
from django.db import connection, transaction

from apps.audits import keyring, trail
from apps.audits.acts import Act, Outcome
from apps.audits.models import Entry, Head
from apps.core import circumstances
from apps.core.actors import Actor
from apps.core.circumstances import Circumstances
from apps.core.database import write, write_now
from apps.core.keys import KeyStoreError
from apps.core.sql import ForeignRowError
from apps.core.tenancy import NoScopeError, tenant
from tests.audits import chains
from tests.factories import TESTER, TESTS

pytestmark = [pytest.mark.django_db, pytest.mark.mission_critical]
WRITERS, EACH = 8, 12


@pytest.fixture
def keys(settings, tmp_path):
    """A folder of keys of this test's own."""
    folder = tmp_path / "keys"
    folder.mkdir()
    (folder / "trail-1").write_text("11" * 32)
    (folder / "signing-1").write_text("22" * 32)
    settings.NETRA_KEYS = folder
    return folder


def test_entries_are_numbered_and_chained(acme) -> None:
    chains.grow(acme.pk, 3)

    with TESTS:
        rows = list(chains.entries(acme.pk))
        head = Head.objects.get(organisation_id=acme.pk)

    assert [row.seq for row in rows] == [1, 2, 3]
    assert [row.previous for row in rows] == ["0" * 64, rows[0].digest, rows[1].digest]
    assert (head.seq, head.digest) == (3, rows[2].digest)
    assert chains.damage(acme.pk) == []


def test_an_entry_tells_who_did_what_to_what_and_from_where(acme, alice) -> None:
    told = Circumstances(
        door="http", address="192.0.2.7", agent="Firefox", request_id="r1", session="ab"
    )

    with circumstances.under(told):
        write_now(
            tenant(acme.pk, alice.pk),
            lambda: trail.record(
                Act.ROLE_CHANGED,
                actor=Actor.user(alice.pk, alice.email),
                organisation_id=acme.pk,
                target="membership:1",
                outcome=Outcome.REFUSED,
                before="member",
                after="admin",
            ),
        )

    with TESTS:
        row = Entry.objects.get()
    body = json.loads(row.body)
    assert (row.act, row.outcome, row.actor_id) == ("role_changed", "refused", alice.pk)
    assert body["actor"] == alice.email
    assert body["details"] == {"before": "member", "after": "admin"}
    assert {name: body[name] for name in trail.TOLD} == {
        "door": "http",
        "address": "192.0.2.7",
        "agent": "Firefox",
        "request_id": "r1",
        "session": "ab",
    }


def test_an_act_that_is_rolled_back_leaves_no_entry(acme) -> None:
    chains.grow(acme.pk)

    def unit() -> None:
        trail.record(Act.EXPORTED, actor=TESTER, organisation_id=acme.pk)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write_now(tenant(acme.pk), unit)

    chains.grow(acme.pk)
    with TESTS:
        assert [row.act for row in chains.entries(acme.pk)] == ["setting_changed"] * 2
    assert chains.damage(acme.pk) == []


def test_an_entry_that_cannot_be_sealed_stops_the_act(acme, keys) -> None:
    (keys / "trail-1").unlink()

    with pytest.raises(KeyStoreError):
        chains.grow(acme.pk)

    with TESTS:
        assert not Entry.objects.exists()


@pytest.mark.security
def test_nobody_writes_into_another_organisations_chain(acme, globex) -> None:
    with pytest.raises(ForeignRowError):
        write_now(
            tenant(acme.pk),
            lambda: trail.record(Act.EXPORTED, actor=TESTER, organisation_id=globex.pk),
        )


@pytest.mark.security
@pytest.mark.usefixtures("committed")
def test_nothing_is_recorded_outside_a_transaction(acme) -> None:
    """Entry and head would be two writes, and another writer could come between."""
    with tenant(acme.pk), pytest.raises(transaction.TransactionManagementError):
        trail.record(Act.EXPORTED, actor=TESTER, organisation_id=acme.pk)

    with TESTS:
        assert not Entry.objects.exists()
        assert not Head.objects.exists()


@pytest.mark.security
def test_nothing_is_recorded_outside_a_scope(acme) -> None:
    with pytest.raises(NoScopeError), transaction.atomic():
        trail.record(Act.EXPORTED, actor=TESTER, organisation_id=acme.pk)


def test_the_platform_has_a_chain_of_its_own(acme) -> None:
    chains.grow(acme.pk, 2)
    with TESTS, transaction.atomic():
        number = trail.record(Act.KEYS_ROTATED, actor=TESTER, organisation_id=None)

    assert number == 1
    assert chains.damage(trail.PLATFORM) == []


def test_any_text_can_be_sealed(acme) -> None:
    chains.grow(acme.pk, said="\x00 \ud800 zażółć 日本 \u2028")

    assert chains.damage(acme.pk) == []


def test_a_new_key_is_used_at_once_and_old_entries_still_verify(acme, keys) -> None:
    chains.grow(acme.pk, 2)
    (keys / "trail-2").write_text("33" * 32)
    chains.grow(acme.pk)

    with TESTS:
        named = [row.key_id for row in chains.entries(acme.pk)]
    assert named == ["trail-1", "trail-1", "trail-2"]
    assert chains.damage(acme.pk) == []


def test_a_key_is_read_once(keys, monkeypatch) -> None:
    keyring.keyring().key("trail-1")
    monkeypatch.setattr(
        "apps.core.keys.KeyStore.read", lambda *_: pytest.fail("read again")
    )

    assert keyring.keyring().key("trail-1") == b"\x11" * 32


@pytest.mark.parametrize(
    "name",
    ["", "trail-", "../secret", "a/trail-1", "trail-9", "trail\x00-1", "trail-²"],
)
def test_what_is_no_name_of_a_key_opens_no_file(keys, name) -> None:
    assert keyring.keyring().find(name) is None


def test_keys_in_memory_are_few(keys) -> None:
    for number in range(2, keyring.KEPT + 10):
        (keys / f"trail-{number}").write_text("44" * 32)
        keyring.keyring().key(f"trail-{number}")

    assert len(keyring.keyring()._keys) <= keyring.KEPT


@pytest.mark.live
def test_eight_writers_begin_one_chain_together_and_every_entry_verifies(
    committed, acme
) -> None:
    at_once = threading.Barrier(WRITERS)

    def work() -> None:
        try:
            at_once.wait(10)
            chains.grow(acme.pk, EACH)
        finally:
            connection.close()

    with ThreadPoolExecutor(WRITERS) as pool:
        for done in [pool.submit(work) for _ in range(WRITERS)]:
            done.result(60)

    found, tally = chains.verify(acme.pk)
    assert found == []
    assert tally.entries == WRITERS * EACH


@pytest.mark.live
async def test_circumstances_reach_the_thread_that_writes(committed) -> None:
    chain_id = trail.PLATFORM

    with circumstances.under(Circumstances(door="socket", address="192.0.2.9")):
        await write(
            tenant(chain_id),
            lambda: trail.record(Act.SIGNED_OUT, actor=TESTER, organisation_id=None),
        )

    def look() -> str:
        with TESTS:
            return str(Entry.objects.get().body)

    body = json.loads(await sync_to_async(look)())
    assert (body["door"], body["address"]) == ("socket", "192.0.2.9")
