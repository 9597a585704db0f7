"""Small ledgers of model calls for tests: written through the real action, each at its own time."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID

from apps.core.database import write_now
from apps.core.tenancy import tenant
from apps.usage import actions
from apps.usage.actions import Call, Recorded

_numbers = itertools.count(1)


def call(when: datetime, **values: object) -> Call:
    """One answered call of a small model for one cent, unless said otherwise."""
    given: dict[str, object] = {
        "id": f"call-{next(_numbers)}",
        "at": when,
        "provider": "openai",
        "model": "gpt-4o-mini",
        "feature": "search",
        "input_tokens": 1_000,
        "output_tokens": 100,
        "latency_ms": 800,
        "cost_usd": Decimal("0.01"),
    }
    return Call(**(given | values))  # type: ignore[arg-type]


def write(organisation_id: UUID, calls: Iterable[Call]) -> Recorded:
    listed = list(calls)
    return write_now(tenant(organisation_id), lambda: actions.record_usage(listed))


def last_month(now: datetime) -> datetime:
    """The first moment of the calendar month before `now`."""
    return (now.replace(day=1) - timedelta(days=1)).replace(
        day=1, hour=0, minute=0, second=0, microsecond=0, tzinfo=UTC
    )


def month_before(month: datetime) -> datetime:
    return (month - timedelta(days=1)).replace(day=1)


def days_of(month: datetime) -> list[datetime]:
    """Noon of each day of that month."""
    following = (month + timedelta(days=32)).replace(day=1)
    return [
        month + timedelta(days=n, hours=12) for n in range((following - month).days)
    ]
