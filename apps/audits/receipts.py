"""The one writer of receipts. Called in the failing transaction's place, after its roll-back."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.db.models import F
from django.utils import timezone

from apps.audits.models import Receipt
from apps.core import sql
from apps.core.errors import NetraError
from apps.core.ids import rising_id

REPEAT_WINDOW = timedelta(seconds=60)


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """What a receipt says."""

    organisation_id: UUID
    user_id: UUID | None
    code: str
    explanation: str
    fix: str = ""
    rule: str = ""
    field: str = ""
    values: dict[str, object] | None = None
    lifts_at: datetime | None = None
    correlation_id: str = ""

    @classmethod
    def of(
        cls,
        error: NetraError,
        *,
        organisation_id: UUID,
        user_id: UUID | None,
        rule: str,
        correlation_id: str = "",
    ) -> Refusal:
        lifts = (
            timezone.now() + timedelta(seconds=error.retry_after)
            if error.retry_after
            else None
        )
        return cls(
            organisation_id=organisation_id,
            user_id=user_id,
            code=error.code,
            explanation=error.message,
            fix=error.fix,
            rule=rule,
            field=error.field or "",
            values=error.values,
            lifts_at=lifts,
            correlation_id=correlation_id,
        )


def record(refusal: Refusal, *, now: datetime | None = None) -> UUID:
    """Store the refusal and return its id; an equal one within a minute is counted instead."""
    now = now or timezone.now()
    repeated = (
        Receipt.objects.filter(
            organisation_id=refusal.organisation_id,
            user_id=refusal.user_id,
            code=refusal.code,
            field=refusal.field,
            last_at__gte=now - REPEAT_WINDOW,
        )
        .values_list("id", flat=True)
        .first()
    )
    if repeated is not None:
        Receipt.objects.filter(id=repeated).update(count=F("count") + 1, last_at=now)
        return UUID(str(repeated))
    return create(refusal, now=now)


def create(refusal: Refusal, *, now: datetime) -> UUID:
    """Store one receipt of its own: for the end of an execution, which happens once."""
    receipt_id = rising_id()
    sql.insert(
        Receipt,
        [
            {
                "id": receipt_id,
                "organisation_id": refusal.organisation_id,
                "user_id": refusal.user_id,
                "code": refusal.code,
                "explanation": refusal.explanation,
                "rule": refusal.rule,
                "field": refusal.field,
                "values": refusal.values or {},
                "fix": refusal.fix,
                "lifts_at": refusal.lifts_at,
                "correlation_id": refusal.correlation_id,
                "count": 1,
                "created_at": now,
                "last_at": now,
            }
        ],
    )
    return receipt_id
