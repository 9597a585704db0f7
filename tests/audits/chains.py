"""Makes chains for the tests of the trail, tampers with them, and verifies them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from unittest.mock import patch
from uuid import UUID

from django.utils import timezone

from apps.audits import checkpoints, trail, verification
from apps.audits.acts import Act
from apps.audits.models import Entry
from apps.audits.verification import Damage, Tally
from apps.core import clock
from apps.core.database import write_now
from apps.core.tenancy import tenant
from tests import guards
from tests.factories import TESTER, TESTS


@contextmanager
def days_ago(days: int) -> Iterator[None]:
    """Entries of this block were made then: the database lets nothing young go."""
    moment = timezone.now() - timedelta(days=days)
    with patch.object(clock, "now", lambda: moment):
        yield


def grow(chain_id: UUID, entries: int = 1, **details) -> None:
    """Add entries, each in a unit of its own."""
    for n in range(entries):
        write_now(
            tenant(chain_id),
            lambda n=n: trail.record(
                Act.SETTING_CHANGED,
                actor=TESTER,
                organisation_id=chain_id,
                target=f"setting:{n}",
                n=n,
                **details,
            ),
        )


def sign(chain_id: UUID, *, now=None) -> None:
    """Make a checkpoint in the row and in the file."""
    write_now(
        tenant(chain_id), lambda: checkpoints.make(chain_id, now=now or timezone.now())
    )
    checkpoints.copy_out(chain_id)


def entries(chain_id: UUID):
    return Entry.objects.filter(organisation_id=chain_id).order_by("seq")


def tamper(chain_id: UUID, seq: int, **values) -> None:
    """Change an entry as somebody might who owns the database."""
    with TESTS, guards.lifted():
        assert entries(chain_id).filter(seq=seq).update(**values) == 1


def verify(
    chain_id: UUID, *, file: Path | None = None, since: int = 1
) -> tuple[list[Damage], Tally]:
    """What audit_verify finds in one chain."""
    found: list[Damage] = []
    tally = verification.verify(
        chain_id, file=file, since=since, tell=found.append, watch=lambda _: None
    )
    return found, tally


def damage(chain_id: UUID, **options) -> list[tuple[int, str]]:
    """The numbers and kinds of what does not hold."""
    return [(found.seq, found.kind) for found in verify(chain_id, **options)[0]]


def own_file(chain_id: UUID) -> Path:
    return checkpoints.folder() / f"{chain_id}.ndjson"
