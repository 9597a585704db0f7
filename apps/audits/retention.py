"""What the trail forgets when its time is over: whole signed segments, by an entry that says so.

A chain is cut behind a checkpoint: an entry seals the cut and the head begins later, both at once.
Only then do the database's guards let the rows before it go, in batches.
"""

from __future__ import annotations

import time
from datetime import datetime, timedelta
from uuid import UUID

from django.conf import settings
from django.db.models import Exists, OuterRef

from apps.audits import trail
from apps.audits.acts import Act
from apps.audits.models import Checkpoint, Entry, Head
from apps.core.actors import Actor
from apps.core.clock import clock
from apps.core.database import write_now
from apps.core.flags import Switch, enabled
from apps.core.tenancy import system, tenant

SWEEP_SECONDS = 120.0
SLICE_SECONDS = 0.25  # the sweeper's thread has leases to look after
CHAINS = 100  # in one slice
BATCH = 500  # rows that one unit removes
OVERDUE = timedelta(days=1)  # a chain is cut once a day at most
KEEPER = Actor.system("retention")
CUTTING = system("retention: trails that reach back too far")


def cut(chain_id: UUID, *, before: datetime) -> int:
    """Let the chain begin behind its last checkpoint older than `before`; returns its first number.

    Part of a unit of writing. What lies before goes with `drop`.
    """
    trail.locked_head(chain_id)
    first = Head.objects.values_list("first_kept", flat=True).get(
        organisation_id=chain_id
    )
    old = Checkpoint.objects.filter(
        organisation_id=chain_id, at__lt=before, seq__gte=first
    )
    last = old.order_by("-seq").values_list("seq", "digest").first()
    if last is None:
        return int(first)
    begins = int(last[0]) + 1
    trail.record(
        Act.TRAIL_CUT,
        actor=KEEPER,
        organisation_id=chain_id,
        target=f"entry:{begins}",
        first_kept=begins,
        digest=last[1],
        first_before=int(first),
    )
    Head.objects.filter(organisation_id=chain_id).update(first_kept=begins)
    return begins


def _cut_overdue(chain_id: UUID, before: datetime) -> None:
    head = Head.objects.values_list("first_kept", flat=True)
    first = head.get(organisation_id=chain_id)
    old = Entry.objects.filter(organisation_id=chain_id, seq=first)
    if old.filter(at__lt=before - OVERDUE).exists():
        cut(chain_id, before=before)


def drop(chain_id: UUID, *, limit: int = BATCH) -> int:
    """Remove up to `limit` entries before the cut, with their checkpoints; returns how many."""
    begins = Head.objects.values_list("first_kept", flat=True).get(
        organisation_id=chain_id
    )
    gone = Entry.objects.filter(organisation_id=chain_id, seq__lt=begins)
    oldest = gone.order_by("seq").values_list("seq", flat=True).first()
    if oldest is None:
        return 0
    until = min(int(begins), int(oldest) + limit)
    # The last one stays: it is signed proof of what stood before the first entry that is kept.
    signed = Checkpoint.objects.filter(organisation_id=chain_id, seq__lt=until)
    signed.filter(seq__lt=begins - 1).delete()
    removed: int = gone.filter(seq__lt=until).delete()[0]
    return removed


def sweep() -> int:
    """Cut and drop for a moment; 0 days of NETRA_TRAIL_DAYS keep everything."""
    if settings.NETRA_TRAIL_DAYS == 0:
        return 0
    before = clock.now() - timedelta(days=settings.NETRA_TRAIL_DAYS)
    until, removed = time.monotonic() + SLICE_SECONDS, 0
    for chain_id in _due(before):
        if enabled(Switch.RETENTION, chain_id):
            removed += _shorten(chain_id, before, until)
        if time.monotonic() >= until:
            break
    return removed


def _due(before: datetime) -> list[UUID]:
    """Chains with something to cut, or with rows before their cut."""
    own: dict[str, object] = {"organisation_id": OuterRef("organisation_id")}
    kept_first = OuterRef("first_kept")
    with CUTTING:
        signed = Checkpoint.objects.filter(**own, at__lt=before, seq__gte=kept_first)
        old = Entry.objects.filter(**own, seq=kept_first, at__lt=before - OVERDUE)
        left_over = Entry.objects.filter(**own, seq__lt=kept_first)
        due = (Exists(old) & Exists(signed)) | Exists(left_over)
        heads = Head.objects.filter(due)
        return list(heads.values_list("organisation_id", flat=True)[:CHAINS])


def _shorten(chain_id: UUID, before: datetime, until: float) -> int:
    scope, removed = tenant(chain_id), 0
    write_now(scope, lambda: _cut_overdue(chain_id, before))
    while batch := write_now(scope, lambda: drop(chain_id)):
        removed += batch
        if time.monotonic() >= until:
            break
    return removed
