"""Retention: a chain is cut behind a checkpoint, says so in a sealed entry, and still verifies."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from django.utils import timezone

from apps.audits import retention
from apps.audits.acts import Act
from apps.audits.models import Checkpoint, Entry, Head
from apps.core.database import write_now
from apps.core.tenancy import tenant
from tests import guards
from tests.audits import chains
from tests.factories import TESTS

pytestmark = pytest.mark.django_db
LONG_AGO = timezone.now() - timedelta(days=400)


@pytest.fixture(autouse=True)
def place(settings, tmp_path):
    settings.NETRA_VAR = tmp_path


@pytest.fixture
def old(acme):
    """Three segments: two from long ago, one of today."""
    for _ in range(2):
        with chains.days_ago(400):
            chains.grow(acme.pk, 4)
        chains.sign(acme.pk, now=LONG_AGO)
    chains.grow(acme.pk, 4)
    chains.sign(acme.pk)
    return acme.pk


def numbers(chain_id):
    with TESTS:
        return list(chains.entries(chain_id).values_list("seq", flat=True))


def cut(chain_id):
    before = timezone.now() - timedelta(days=365)
    return write_now(tenant(chain_id), lambda: retention.cut(chain_id, before=before))


def drop(chain_id, **options):
    return write_now(tenant(chain_id), lambda: retention.drop(chain_id, **options))


def test_what_was_signed_long_ago_goes_and_the_rest_verifies(old) -> None:
    assert cut(old) == 9
    assert drop(old) == 8

    assert numbers(old) == [9, 10, 11, 12, 13]
    assert chains.damage(old, file=chains.own_file(old)) == []


def test_the_cut_itself_is_an_entry(old) -> None:
    cut(old)

    with TESTS:
        entry = Entry.objects.get(act=Act.TRAIL_CUT)
        signed = Checkpoint.objects.get(seq=8)
    details = json.loads(entry.body)["details"]
    assert (details["first_kept"], details["digest"]) == (9, signed.digest)


def test_the_checkpoint_before_the_cut_stays(old) -> None:
    cut(old)
    drop(old)

    with TESTS:
        kept = Checkpoint.objects.order_by("seq").values_list("seq", flat=True)
        assert list(kept) == [8, 12]


def test_rows_go_in_batches(old) -> None:
    cut(old)

    assert [drop(old, limit=3) for _ in range(4)] == [3, 3, 2, 0]
    assert chains.damage(old) == []


def test_rows_that_wait_to_go_are_no_damage(old) -> None:
    cut(old)
    drop(old, limit=3)

    assert chains.damage(old) == []


def test_nothing_young_is_cut(acme) -> None:
    chains.grow(acme.pk, 4)
    chains.sign(acme.pk)

    assert cut(acme.pk) == 1
    assert drop(acme.pk) == 0
    assert numbers(acme.pk) == [1, 2, 3, 4]


@pytest.mark.security
def test_a_cut_that_names_another_digest_is_found(old) -> None:
    cut(old)
    drop(old)
    with TESTS, guards.lifted():
        Head.objects.update(first_kept=11)
        chains.entries(old).filter(seq__lt=11).delete()

    assert chains.damage(old) == [(11, "cut")]


def test_the_sweep_cuts_what_is_overdue(old) -> None:

    assert retention.sweep() == 8
    assert retention.sweep() == 0
    assert chains.damage(old) == []


def test_the_sweep_goes_on_with_what_was_left(old, monkeypatch) -> None:
    monkeypatch.setattr(retention, "SLICE_SECONDS", -1)
    monkeypatch.setattr(
        retention, "drop", lambda chain_id, real=retention.drop: real(chain_id, limit=3)
    )

    assert [retention.sweep() for _ in range(4)] == [3, 3, 2, 0]
    assert sum(1 for n in numbers(old) if n > 8) == 5  # one cut, told once


def test_zero_days_keep_everything(old, settings) -> None:
    settings.NETRA_TRAIL_DAYS = 0

    assert retention.sweep() == 0
    assert len(numbers(old)) == 12
