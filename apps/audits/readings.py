"""Reads about support's grants: which are open, which wait, what was read under each. No content."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.db.models import Q, QuerySet

from apps.audits.acts import Act, Outcome
from apps.audits.models import LAPSES, REVIEWED_WITHIN, AccessGrant, Entry
from apps.core import clock
from apps.core.content import ContentClosedError, check_open
from apps.core.tenancy import Opening, current_scope

Reach = AccessGrant.Reach
SHOWN = 500  # readings, the newest, of all the grants that a page shows
LATE = timedelta(
    minutes=1
)  # a reading that began before the end may be sealed after it


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """One record that somebody wants to read: an execution of a thread, or a thread."""

    organisation_id: UUID
    thread_id: UUID
    execution_id: UUID | None = None

    def __str__(self) -> str:
        if self.execution_id is not None:
            return f"execution:{self.execution_id}"
        return f"thread:{self.thread_id}"

    def is_in(self, opening: Opening) -> bool:
        """Whether the grant in use reaches it."""
        if opening.organisation_id != self.organisation_id:
            return False
        reached = {
            Reach.ORGANISATION.value: None,
            Reach.THREAD.value: self.thread_id,
            Reach.EXECUTION.value: self.execution_id,
        }
        whole = opening.reach == Reach.ORGANISATION
        return whole or (
            opening.reach_id is not None and reached[opening.reach] == opening.reach_id
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One time that somebody of support read a record, as the trail tells it."""

    seq: int
    at: datetime
    kind: str  # execution or thread
    id: str
    fields: tuple[str, ...]
    records: int  # messages that the page showed; 0 where the record stands for itself


@dataclass(frozen=True, slots=True, kw_only=True)
class Readings:
    """What was read under one grant, newest first; `cut` where a page cannot list all of it."""

    rows: list[Reading]
    cut: bool = False


def check_subject(subject: Subject) -> None:
    """Raise ContentClosedError unless the open scope is that of a live grant that reaches it."""
    check_open()
    opening = current_scope().grant
    if opening is None or not subject.is_in(opening):
        raise ContentClosedError("The grant does not reach this.")


def open_for(
    staff_id: UUID, subject: Subject, *, now: datetime | None = None
) -> AccessGrant | None:
    """The grant under which this person may read this record at present, if there is one."""
    rows = opened(now or clock.now()).filter(_reaching(subject), staff_id=staff_id)
    found: AccessGrant | None = rows.order_by("-expires_at").first()
    return found


def asked_for(staff_id: UUID, subject: Subject, now: datetime) -> AccessGrant | None:
    """What this person asked for, to read this record, and nobody has answered."""
    rows = asked(now).filter(_reaching(subject), staff_id=staff_id)
    found: AccessGrant | None = rows.order_by("-requested_at").first()
    return found


def opened(now: datetime) -> QuerySet[AccessGrant]:
    """Those that are open at `now`."""
    rows: QuerySet[AccessGrant] = AccessGrant.objects.filter(
        approved_at__isnull=False, ended_at__isnull=True, expires_at__gt=now
    )
    return rows


def asked(now: datetime) -> QuerySet[AccessGrant]:
    """Those that wait for an answer at `now`."""
    rows: QuerySet[AccessGrant] = AccessGrant.objects.filter(
        approved_at__isnull=True,
        refused_at__isnull=True,
        ended_at__isnull=True,
        requested_at__gt=now - LAPSES,
    )
    return rows


def to_review(now: datetime, *, overdue: bool = False) -> QuerySet[AccessGrant]:
    """Those that are over and not reviewed; with `overdue`, only those over for seven days."""
    then = now - REVIEWED_WITHIN if overdue else now
    rows: QuerySet[AccessGrant] = AccessGrant.objects.filter(
        Q(ended_at__lte=then) | Q(expires_at__lte=then),
        approved_at__isnull=False,
        reviewed_at__isnull=True,
    )
    return rows


def readings_of(grants: Sequence[AccessGrant]) -> dict[UUID, Readings]:
    """What was read under each of these grants: one query, from the trail."""
    found: dict[UUID, list[Reading]] = {grant.pk: [] for grant in grants}
    newest = _newest(grants)
    for seq, at, body in newest[:SHOWN]:
        told = json.loads(body)
        own = found.get(UUID(told["details"]["grant"]))
        if own is not None:
            own.append(_reading(seq, at, told["target"], told["details"]))
    # Nobody hides what they read by reading so much more that it falls off the page unnoticed.
    full_from = newest[SHOWN][1] if len(newest) > SHOWN else None
    return {
        grant.pk: Readings(rows=found[grant.pk], cut=_began_by(grant, full_from))
        for grant in grants
    }


def _newest(grants: Sequence[AccessGrant]) -> list[tuple[int, datetime, str]]:
    """The entries of readings by these people while these grants were open, and one more than fits."""
    opened = [grant.approved_at for grant in grants if grant.approved_at is not None]
    if not opened:
        return []
    ends = [grant.ended_at or grant.expires_at for grant in grants]
    rows = Entry.objects.filter(
        organisation_id__in={grant.organisation_id for grant in grants},
        act=Act.CONTENT_READ,
        outcome=Outcome.DONE,
        actor_id__in={grant.staff_id for grant in grants},
        at__gte=min(opened),
        at__lte=max(end for end in ends if end is not None) + LATE,
    )
    return list(rows.order_by("-at").values_list("seq", "at", "body")[: SHOWN + 1])


def _began_by(grant: AccessGrant, moment: datetime | None) -> bool:
    opened = grant.approved_at
    return moment is not None and opened is not None and opened <= moment


def _reading(
    seq: int, at: datetime, target: str, details: dict[str, list[str]]
) -> Reading:
    kind, _, record = target.partition(":")
    return Reading(
        seq=seq,
        at=at,
        kind=kind,
        id=record,
        fields=tuple(details["fields"]),
        records=len(details["ids"]),
    )


def _reaching(subject: Subject) -> Q:
    reached = Q(reach=Reach.ORGANISATION) | Q(
        reach=Reach.THREAD, reach_id=subject.thread_id
    )
    if subject.execution_id is not None:
        reached |= Q(reach=Reach.EXECUTION, reach_id=subject.execution_id)
    return reached & Q(organisation_id=subject.organisation_id)
