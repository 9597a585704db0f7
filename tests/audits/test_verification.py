"""Verification: what was edited below the guards is found, with the number of its entry."""

from __future__ import annotations

import shutil
from datetime import timedelta

import pytest
from django.db.models import F, Value
from django.db.models.functions import Concat, Length, Substr
from django.utils import timezone

from apps.audits import chain, checkpoints, retention, verification
from apps.audits.models import Checkpoint, Entry, Head
from apps.core import clock
from apps.core.database import write_now
from apps.core.tenancy import tenant
from tests import guards
from tests.audits import chains
from tests.factories import TESTS

pytestmark = [pytest.mark.django_db, pytest.mark.security, pytest.mark.mission_critical]


@pytest.fixture
def place(settings, tmp_path):
    """Files of checkpoints of this test's own."""
    settings.NETRA_VAR = tmp_path
    return checkpoints.folder


@pytest.fixture
def sealed(acme, place):
    """Nine entries; the first six are signed."""
    chains.grow(acme.pk, 6)
    chains.sign(acme.pk)
    chains.grow(acme.pk, 3)
    return acme.pk


def test_a_whole_chain_holds(sealed) -> None:
    found, tally = chains.verify(sealed, file=chains.own_file(sealed))

    assert found == []
    assert (tally.entries, tally.checkpoints) == (9, 2)


@pytest.mark.parametrize("seq", [1, 5, 9])
@pytest.mark.parametrize("column", ["body", "previous", "digest", "code", "key_id"])
def test_one_byte_of_one_row_is_found_with_its_number(sealed, seq, column) -> None:
    place = Length(column) - 3
    edited = Concat(
        Substr(column, 1, place), Value("~"), Substr(column, place + Value(2))
    )

    chains.tamper(sealed, seq, **{column: edited})

    assert [number for number, _ in chains.damage(sealed)] == [seq]


@pytest.mark.parametrize(
    "values",
    [
        {"act": "exported"},
        {"outcome": "refused"},
        {"actor_kind": "staff"},
        {"actor_id": "00000000-0000-4000-8000-000000000001"},
        {"target": "setting:elsewhere"},
        {"at": F("at") + timedelta(seconds=1)},
    ],
    ids=lambda values: next(iter(values)),
)
def test_a_column_that_differs_from_what_is_sealed_is_found(sealed, values) -> None:
    chains.tamper(sealed, 4, **values)

    (found,), _ = chains.verify(sealed)
    assert (found.seq, found.kind) == (4, "altered")
    assert next(iter(values)) in found.says


@pytest.mark.parametrize("column", ["body", "previous", "digest", "code", "key_id"])
def test_a_letter_that_is_not_ascii_is_found_like_any_other(sealed, column) -> None:
    chains.tamper(sealed, 5, **{column: Concat(Substr(column, 1, 6), Value("ż"))})

    assert [number for number, _ in chains.damage(sealed)] == [5]


def test_another_key_of_the_installation_seals_no_entry(sealed, settings) -> None:
    with TESTS:
        last = Entry.objects.get(seq=9)
    key = bytes.fromhex((settings.NETRA_KEYS / "fields-1").read_text())

    chains.tamper(sealed, 9, key_id="fields-1", code=chain.seal(key, last.digest))

    assert chains.damage(sealed) == [(9, "foreign key")]


def test_an_entry_that_was_removed_is_found(sealed) -> None:
    with TESTS, guards.lifted():
        chains.entries(sealed).filter(seq__in=[4, 5]).delete()

    (found,), _ = chains.verify(sealed)
    assert (found.seq, found.kind) == (4, "missing")
    assert "entries 4 to 5" in found.says


def test_entries_that_changed_places_are_found(sealed) -> None:
    with TESTS, guards.lifted():
        fourth, fifth = (Entry.objects.get(seq=n) for n in (4, 5))
        for row in (fourth, fifth):
            row.delete()
        for row, seq in ((fourth, 5), (fifth, 4)):
            row.seq = seq
            row.save(force_insert=True)

    assert chains.damage(sealed) == [(4, "moved")]


def test_an_entry_that_was_inserted_is_found(sealed) -> None:
    with TESTS, guards.lifted():
        last = Entry.objects.get(seq=9)
        last.pk, last.seq, last.previous = None, 10, last.digest
        last.save(force_insert=True)
        Head.objects.update(seq=10, digest=last.digest)

    assert chains.damage(sealed) == [(10, "altered")]


def test_an_entry_of_another_chain_is_found(sealed, globex) -> None:
    chains.grow(globex.pk, 9)
    with TESTS, guards.lifted():
        Entry.objects.filter(organisation_id=globex.pk).exclude(seq=1).delete()
        Entry.objects.filter(organisation_id=sealed, seq=1).delete()
        Entry.objects.filter(organisation_id=globex.pk).update(organisation_id=sealed)

    assert chains.damage(sealed) == [(1, "altered")]


def test_a_key_that_is_not_ours_is_named(sealed) -> None:
    chains.tamper(sealed, 3, key_id="trail-77")

    (found,), _ = chains.verify(sealed)
    assert (found.seq, found.kind) == (3, "foreign key")
    assert "trail-77" in found.says


def cut_tail(chain_id, *, after: int) -> None:
    """As somebody would who sets everything in the database back."""
    with TESTS, guards.lifted():
        chains.entries(chain_id).filter(seq__gt=after).delete()
        Checkpoint.objects.filter(organisation_id=chain_id, seq__gt=after).delete()
        last = Entry.objects.get(organisation_id=chain_id, seq=after)
        Head.objects.filter(organisation_id=chain_id).update(
            seq=after, digest=last.digest, checkpointed=0, checkpointed_at=None
        )


def test_a_tail_that_was_cut_off_shows_against_the_head(sealed) -> None:
    with TESTS, guards.lifted():
        chains.entries(sealed).filter(seq__gt=7).delete()

    assert chains.damage(sealed) == [(8, "cut off")]


def test_a_tail_that_was_cut_off_with_all_traces_shows_against_the_file(sealed) -> None:
    cut_tail(sealed, after=4)

    assert chains.damage(sealed) == []  # the database alone cannot know
    assert chains.damage(sealed, file=chains.own_file(sealed)) == [(5, "cut off")]


def test_a_chain_that_was_removed_whole_shows_against_the_file(sealed) -> None:
    with TESTS, guards.lifted():
        chains.entries(sealed).delete()
        Checkpoint.objects.all().delete()
        Head.objects.all().delete()

    assert sealed in verification.chains([sealed])
    assert chains.damage(sealed, file=chains.own_file(sealed)) == [(6, "head")]


def test_whoever_has_the_hmac_key_cannot_rewrite_what_was_signed(sealed) -> None:
    with TESTS, guards.lifted():
        chains.entries(sealed).delete()
        Head.objects.all().delete()
    chains.grow(sealed, 9, other="story")

    assert chains.damage(sealed) == [(6, "rewritten")]


def test_a_head_that_was_set_back_is_found(sealed) -> None:
    with TESTS:
        eighth = Entry.objects.get(seq=8)
        Head.objects.update(seq=8, digest=eighth.digest)

    assert chains.damage(sealed) == [(9, "head")]


@pytest.mark.parametrize(
    "values",
    [
        {"checkpointed": 9},
        {"checkpointed": 10**12},
        {"checkpointed_at": F("checkpointed_at") + timedelta(days=400)},
        {"checkpointed": 0},
    ],
    ids=str,
)
def test_a_head_that_puts_off_the_next_signature_is_found(sealed, values) -> None:
    with TESTS:
        Head.objects.update(**values)

    assert chains.damage(sealed) == [(9, "head")]


def test_a_chain_without_its_head_is_found(sealed) -> None:
    with TESTS, guards.lifted():
        Head.objects.all().delete()

    assert [kind for _, kind in chains.damage(sealed)] == ["head"]


def test_a_chain_that_begins_later_without_a_sealed_cut_is_found(sealed) -> None:
    with TESTS, guards.lifted():
        Head.objects.update(first_kept=4)
        chains.entries(sealed).filter(seq__lt=4).delete()

    assert chains.damage(sealed) == [(4, "cut")]


@pytest.mark.parametrize(
    "values",
    [
        {"signature": "AAAA"},
        {"signature": "no base64"},
        {"body": "{}"},
        {"body": "no json"},
        {"key_id": "signing-9"},
        {"key_id": "trail-1"},
        {"digest": "0" * 64},
        {"seq": 5},
        {"signature": "ż"},
        {"key_id": "signing-ż1"},
    ],
    ids=str,
)
def test_a_checkpoint_that_is_not_signed_as_it_is_is_found(sealed, values) -> None:
    with TESTS, guards.lifted():
        assert Checkpoint.objects.update(**values) == 1

    assert "checkpoint" in {kind for _, kind in chains.damage(sealed)}


def test_a_line_of_a_file_that_was_edited_is_found(sealed) -> None:
    file = chains.own_file(sealed)
    file.write_text(file.read_text().replace(r"\"seq\":6", r"\"seq\":5"))

    assert chains.damage(sealed, file=file) == [(1, "checkpoint")]


def test_a_line_that_was_taken_out_of_a_file_is_found(sealed) -> None:
    for _ in range(2):
        chains.sign(sealed)
        chains.grow(sealed)
    file = chains.own_file(sealed)
    first, *_, last = file.read_text().splitlines(keepends=True)
    file.write_text(first + last)

    assert [kind for _, kind in chains.damage(sealed, file=file)] == ["checkpoint"]


def test_a_file_of_another_chain_proves_nothing(sealed, globex) -> None:
    chains.grow(globex.pk, 6)
    chains.sign(globex.pk)
    shutil.copy(chains.own_file(globex.pk), chains.own_file(sealed))

    kinds = {kind for _, kind in chains.damage(sealed, file=chains.own_file(sealed))}
    assert kinds == {"checkpoint"}


def test_it_can_begin_in_the_middle(sealed) -> None:
    chains.tamper(sealed, 2, target="elsewhere")

    found, tally = chains.verify(sealed, since=4)
    assert (found, tally.entries) == ([], 6)
    assert chains.damage(sealed, since=2) == [(2, "altered")]
    assert chains.damage(sealed, since=1000) == []


def test_damage_in_one_chain_is_not_damage_in_another(sealed, globex) -> None:
    chains.grow(globex.pk, 2)
    chains.tamper(sealed, 2, target="elsewhere")

    assert chains.damage(globex.pk) == []


def test_entries_written_meanwhile_are_no_damage(sealed, monkeypatch) -> None:
    rows = verification._rows

    def slowly(*args):
        chains.grow(sealed, 2)
        yield from rows(*args)

    monkeypatch.setattr(verification, "_rows", slowly)

    assert chains.damage(sealed) == []


def test_a_cut_made_meanwhile_is_no_damage(acme, place, monkeypatch) -> None:
    sealed, rows = acme.pk, verification._rows
    later = timezone.now() + timedelta(days=1)
    with chains.days_ago(2):
        chains.grow(sealed, 6)
        chains.sign(sealed, now=clock.now())
    chains.grow(sealed, 3)

    def slowly(*args):
        monkeypatch.setattr(verification, "_rows", rows)
        write_now(tenant(sealed), lambda: retention.cut(sealed, before=later))
        write_now(tenant(sealed), lambda: retention.drop(sealed))
        yield from rows(*args)

    monkeypatch.setattr(verification, "_rows", slowly)

    found, tally = chains.verify(sealed)
    assert (found, tally.entries) == ([], 4)


def test_long_chains_are_read_in_batches(sealed, monkeypatch) -> None:
    monkeypatch.setattr(verification, "BATCH", 4)
    seen: list[int] = []

    tally = verification.verify(
        sealed, file=None, since=1, tell=pytest.fail, watch=seen.append
    )

    assert tally.entries == 9
    assert seen == [4, 8, 9]


def test_empty_chains_hold(acme, place) -> None:
    assert chains.damage(acme.pk) == []
    assert chains.damage(acme.pk, file=None, since=5) == []
