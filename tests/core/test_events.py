"""Bells ring after the commit, projectors write in it; rows are the truth."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import pytest
from django.db import transaction

from apps.accounts.models import Organisation
from apps.core import events

pytestmark = pytest.mark.django_db


@dataclass(frozen=True)
class Happened:
    name: str


@pytest.fixture(autouse=True)
def nobody_listens_yet(monkeypatch) -> None:
    monkeypatch.setattr(events, "_receivers", defaultdict(list))
    monkeypatch.setattr(events, "_projectors", defaultdict(list))


def rolled_back(name: str) -> None:
    """Announce in a transaction that does not come to its end."""
    with transaction.atomic():
        events.publish(Happened(name))
        transaction.set_rollback(True)


def test_a_bell_rings_after_the_commit_and_not_before(
    django_capture_on_commit_callbacks,
) -> None:
    rung = []
    events.receiver(Happened)(rung.append)

    with django_capture_on_commit_callbacks(execute=True):
        events.publish(Happened("a"))
        assert rung == []

    assert rung == [Happened("a")]


def test_a_bell_does_not_ring_for_what_was_rolled_back(
    django_capture_on_commit_callbacks,
) -> None:
    rung = []
    events.receiver(Happened)(rung.append)

    with django_capture_on_commit_callbacks(execute=True):
        rolled_back("a")

    assert rung == []


def test_one_failing_bell_stops_no_other(
    django_capture_on_commit_callbacks, caplog
) -> None:
    rung = []

    def fails(event: Happened) -> None:
        raise ValueError("on purpose")

    events.receiver(Happened)(fails)
    events.receiver(Happened)(rung.append)

    with django_capture_on_commit_callbacks(execute=True):
        events.publish(Happened("a"))

    assert rung == [Happened("a")]
    assert "fails" in caplog.text


def test_a_projectors_row_shares_the_fate_of_the_transaction() -> None:
    @events.projector(Happened)
    def writes(event: Happened) -> None:
        Organisation.objects.create(slug=event.name, name=event.name)

    events.publish(Happened("kept"))
    rolled_back("lost")

    assert list(Organisation.objects.values_list("slug", flat=True)) == ["kept"]


def test_a_failing_projector_fails_the_act_that_announced() -> None:
    @events.projector(Happened)
    def fails(event: Happened) -> None:
        raise ValueError("on purpose")

    with pytest.raises(ValueError, match="on purpose"):
        events.publish(Happened("a"))


def test_a_listener_registered_twice_is_called_once(
    django_capture_on_commit_callbacks,
) -> None:
    rung = []

    def rings(event: Happened) -> None:
        rung.append(event)

    events.receiver(Happened)(rings)
    events.receiver(Happened)(rings)

    with django_capture_on_commit_callbacks(execute=True):
        events.publish(Happened("a"))

    assert len(rung) == 1


def test_an_event_that_nobody_hears_is_no_error() -> None:
    events.publish(Happened("a"))


def test_the_wiring_names_every_listener() -> None:
    def rings(event: Happened) -> None: ...

    events.receiver(Happened)(rings)

    assert events.wiring() == {
        "bells": {"Happened": [f"{__name__}.rings"]},
        "projectors": {},
    }
