"""What isolation audits write of themselves: that one began, is alive, and what it proved."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from django.db import IntegrityError, connection, transaction

from apps.audits import trail
from apps.audits.acts import Act
from apps.audits.isolation.judging import Judged, Outcome, verdict_of
from apps.audits.isolation.release import release
from apps.audits.models import IsolationAudit, Probe
from apps.audits.trail import PLATFORM
from apps.core.actors import Actor
from apps.core.clock import clock
from apps.core.errors import ConflictError

LOST = timedelta(minutes=5)  # one of which nothing was heard for so long is over
KEPT = 90  # audits with all their probes; of older ones the summary stays
BATCH = 500


class AuditRunningError(ConflictError):
    """An isolation audit is running already."""

    code = "audit_running"
    fix = "Wait for it to end; it takes about a minute."


def begin(*, actor: Actor, trigger: str) -> UUID:
    """Note that an audit begins. One that was lost is ended first; two at once are refused."""
    now = clock.now()
    running = IsolationAudit.objects.filter(verdict=IsolationAudit.Verdict.RUNNING)
    running.filter(seen_at__lt=now - LOST).update(
        verdict=IsolationAudit.Verdict.INTERRUPTED, ended_at=now
    )
    try:
        with transaction.atomic():
            row = IsolationAudit.objects.create(
                organisation_id=PLATFORM,
                trigger=trigger,
                asked_by=actor.label,
                release=release(),
                database=connection.vendor,
                began_at=now,
                seen_at=now,
            )
    except IntegrityError as error:
        raise AuditRunningError from error
    return UUID(str(row.pk))


def note_alive(audit_id: UUID) -> None:
    """Say that an audit goes on."""
    IsolationAudit.objects.filter(pk=audit_id, ended_at__isnull=True).update(
        seen_at=clock.now()
    )


@transaction.atomic
def end(*, actor: Actor, audit_id: UUID, probes: list[Judged]) -> None:
    """Store what an audit proved, in the table and in the platform's trail."""
    verdict = verdict_of(probes)
    rows = [_row(audit_id, number, probe) for number, probe in enumerate(probes, 1)]
    Probe.objects.bulk_create(rows, batch_size=BATCH)
    now = clock.now()
    counts = {
        outcome.value: sum(probe.outcome is outcome for probe in probes)
        for outcome in Outcome
    }
    IsolationAudit.objects.filter(pk=audit_id).update(
        verdict=verdict.value,
        ended_at=now,
        seen_at=now,
        surfaces=len({(probe.kind, probe.surface) for probe in probes}),
        **counts,
    )
    _forget_old()
    trail.record(
        Act.ISOLATION_AUDITED,
        actor=actor,
        organisation_id=None,
        target=f"isolation_audit:{audit_id}",
        verdict=verdict.value,
        probes=len(probes),
        outcomes={**counts},
    )


def interrupt(audit_id: UUID) -> None:
    """Note that an audit could not be brought to its end."""
    IsolationAudit.objects.filter(pk=audit_id, ended_at__isnull=True).update(
        verdict=IsolationAudit.Verdict.INTERRUPTED, ended_at=clock.now()
    )


def _row(audit_id: UUID, number: int, probe: Judged) -> Probe:
    return Probe(
        organisation_id=PLATFORM,
        audit_id=audit_id,
        number=number,
        kind=probe.kind,
        surface=probe.surface[:200],
        check_name=probe.check,
        outcome=probe.outcome,
        request=probe.request[:300],
        expected=probe.expected[:200],
        got=probe.got[:300],
        digest=probe.digest,
    )


def _forget_old() -> None:
    kept = IsolationAudit.objects.values_list("pk", flat=True)[:KEPT]
    Probe.objects.exclude(audit_id__in=list(kept)).delete()
