"""Checkpoints: signed, chained, copied out of the database once each, made when they are due."""

from __future__ import annotations

import json
import stat
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from apps.audits import chain, checkpoints, trail
from apps.audits.checkpoints import ENTRIES, EVERY, Signed
from apps.audits.models import Checkpoint, Entry, Head
from apps.core import sweeps
from tests.audits import chains
from tests.factories import TESTS

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def place(settings, tmp_path):
    settings.NETRA_VAR = tmp_path


def rows(chain_id):
    with TESTS:
        found = Checkpoint.objects.filter(organisation_id=chain_id).order_by("seq")
        return [Signed(*values) for values in found.values_list(*checkpoints.COLUMNS)]


def lines(chain_id):
    return [signed for _, signed in checkpoints.filed(chains.own_file(chain_id))]


def test_a_checkpoint_says_where_the_chain_stands(acme) -> None:
    chains.grow(acme.pk, 3)
    chains.sign(acme.pk)

    (signed,) = rows(acme.pk)
    with TESTS:
        last = Entry.objects.get(seq=3)
    claims = signed.claims()
    assert signed.holds()
    assert (claims["chain"], claims["seq"]) == (str(acme.pk), 3)
    assert (claims["digest"], claims["previous"]) == (last.digest, chain.START)


def test_checkpoints_name_the_one_before(acme) -> None:
    for _ in range(3):
        chains.grow(acme.pk)
        chains.sign(acme.pk)

    first, second, third = rows(acme.pk)
    assert second.claims()["previous"] == chain.fingerprint(first.body)
    assert third.claims()["previous"] == chain.fingerprint(second.body)


def test_what_is_signed_already_is_not_signed_again(acme) -> None:
    chains.grow(acme.pk)
    chains.sign(acme.pk)
    chains.sign(acme.pk)

    assert len(rows(acme.pk)) == len(lines(acme.pk)) == 1


def test_an_empty_chain_gets_none(acme) -> None:
    chains.sign(acme.pk)

    assert rows(acme.pk) == lines(acme.pk) == []


def test_the_file_holds_what_the_rows_hold_and_is_for_its_owner_alone(acme) -> None:
    for _ in range(3):
        chains.grow(acme.pk)
        chains.sign(acme.pk)

    file = chains.own_file(acme.pk)
    assert lines(acme.pk) == rows(acme.pk)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700


def test_what_a_crash_left_half_written_is_written_whole(acme) -> None:
    for _ in range(2):
        chains.grow(acme.pk)
        chains.sign(acme.pk)
    file = chains.own_file(acme.pk)
    file.write_bytes(file.read_bytes()[:-40])

    assert checkpoints.copy_out(acme.pk) == 1
    assert lines(acme.pk) == rows(acme.pk)


def test_copies_that_failed_are_made_up_for(acme, monkeypatch) -> None:
    monkeypatch.setattr(checkpoints, "COPIED", 2)
    with monkeypatch.context() as patch:
        patch.setattr(checkpoints, "copy_out", lambda _: 0)
        for _ in range(5):
            chains.grow(acme.pk)
            chains.sign(acme.pk)

    assert checkpoints.copy_out(acme.pk) == 5
    assert lines(acme.pk) == rows(acme.pk)


def test_the_sweep_signs_chains_with_news_and_only_those(acme, globex) -> None:
    chains.grow(acme.pk)

    assert checkpoints.sweep() == 1
    assert checkpoints.sweep() == 0
    assert len(lines(acme.pk)) == 1
    assert rows(globex.pk) == []


def test_news_wait_until_the_last_checkpoint_is_old_enough(acme) -> None:
    now = timezone.now()
    chains.grow(acme.pk)
    chains.sign(acme.pk, now=now - EVERY + timedelta(minutes=1))
    chains.grow(acme.pk)

    assert checkpoints.sweep() == 0

    with TESTS:
        Head.objects.update(checkpointed_at=now - EVERY)
    assert checkpoints.sweep() == 1


def test_many_entries_do_not_wait(acme, monkeypatch) -> None:
    monkeypatch.setattr(checkpoints, "ENTRIES", 4)
    chains.grow(acme.pk)
    chains.sign(acme.pk)
    chains.grow(acme.pk, 3)
    assert checkpoints.sweep() == 0

    chains.grow(acme.pk)

    assert checkpoints.sweep() == 1
    assert ENTRIES == 1_000


def test_a_chain_that_cannot_be_signed_does_not_hold_up_the_others(
    acme, globex, monkeypatch, caplog
) -> None:
    chains.grow(acme.pk)
    chains.grow(globex.pk)
    make = checkpoints.make

    def failing(chain_id, *, now):
        if chain_id == acme.pk:
            raise OSError("no space")
        return make(chain_id, now=now)

    monkeypatch.setattr(checkpoints, "make", failing)

    assert checkpoints.sweep() == 1
    assert len(lines(globex.pk)) == 1
    assert str(acme.pk) in caplog.text


@pytest.mark.parametrize(
    "line", ["[]", "{}", '{"body":"[]"}', '{"body":"{}"}', '{"body":1}', "rubbish"]
)
def test_a_file_that_somebody_edited_does_not_hold_up_the_others(
    acme, globex, caplog, line
) -> None:
    chains.grow(acme.pk)
    chains.grow(globex.pk)
    checkpoints.folder().mkdir()
    chains.own_file(acme.pk).write_text(line + "\n")

    assert checkpoints.sweep() == 1
    assert len(lines(globex.pk)) == 1
    assert str(acme.pk) in caplog.text
    assert len(rows(acme.pk)) == 1


def test_the_sweeps_are_registered() -> None:
    assert {"audits.checkpoints", "audits.retention"} <= sweeps.registered().keys()


def test_a_line_that_cannot_be_read_is_told_as_none(tmp_path) -> None:
    file = tmp_path / "x.ndjson"
    file.write_text('{"body":"b","key_id":"k","signature":"s"}\nrubbish\n[]\n{}\n')

    assert [signed is None for _, signed in checkpoints.filed(file)] == [
        False,
        True,
        True,
        True,
    ]


@pytest.mark.live
def test_two_sweepers_make_one_checkpoint(committed, acme) -> None:
    chains.grow(acme.pk, 3)
    at_once = threading.Barrier(2)

    def work() -> None:
        try:
            at_once.wait(10)
            checkpoints.sweep()
        finally:
            connection.close()

    with ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(work) for _ in range(2)]:
            done.result(30)

    assert len(rows(acme.pk)) == 1
    assert lines(acme.pk) == rows(acme.pk)


def test_the_platforms_chain_is_signed_too(db) -> None:
    chains.grow(trail.PLATFORM)

    assert checkpoints.sweep() == 1
    assert json.loads(rows(trail.PLATFORM)[0].body)["chain"] == str(trail.PLATFORM)


def test_a_file_that_another_process_holds_is_not_waited_for_without_end(
    acme, monkeypatch
) -> None:
    place = chains.own_file(acme.pk)
    with checkpoints._appending(place):
        monkeypatch.setattr(checkpoints, "HELD_SECONDS", 0.05)

        with pytest.raises(BlockingIOError), checkpoints._appending(place):
            pass
