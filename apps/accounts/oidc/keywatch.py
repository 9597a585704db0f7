"""What went wrong with providers' signing keys: kept for a week in the shared cache, to warn staff.

Ids of public keys and moments only. A lost mark costs a warning, never a sign-in.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

from django.core.cache import cache
from django.utils import timezone

from apps.accounts.models import IdentityProvider
from apps.audits.trail import PLATFORM
from apps.core.tenancy import topic

KEPT = timedelta(days=7)
MOST = 50  # providers that are told apart


class Trouble(StrEnum):
    """What can go wrong."""

    UNREACHABLE = "unreachable"  # until they are fetched again
    SWAPPED = "swapped"  # none of the keys before is published any more


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """Since when which trouble."""

    trouble: Trouble
    at: datetime


def note_keys(provider: IdentityProvider, keys: Iterable[dict[str, Any]]) -> None:
    """Keys were fetched: remember their ids, and tell when none of those before is among them."""
    ids = {str(key["kid"]) for key in keys if key.get("kid")}
    name = topic(provider.organisation_id, "oidc", "key-ids", provider.pk.hex)
    before = set(cache.get(name) or ())
    if ids != before:
        cache.set(name, sorted(ids), KEPT.total_seconds())
    marks = troubles()
    if before and ids and not ids & before:
        _keep(marks, provider, Trouble.SWAPPED)
    elif (mark := marks.get(provider.pk)) and mark.trouble is Trouble.UNREACHABLE:
        _store({pk: each for pk, each in marks.items() if pk != provider.pk})


def note_failure(provider: IdentityProvider) -> None:
    """The keys could not be fetched, or are none."""
    marks = troubles()
    if provider.pk not in marks:
        _keep(marks, provider, Trouble.UNREACHABLE)


def troubles() -> dict[UUID, Mark]:
    """Provider → what went wrong with its keys within a week."""
    kept: dict[str, tuple[str, float]] = cache.get(_name()) or {}
    since = (timezone.now() - KEPT).timestamp()
    return {
        UUID(pk): Mark(trouble=Trouble(kind), at=datetime.fromtimestamp(at, UTC))
        for pk, (kind, at) in kept.items()
        if at >= since
    }


def _keep(
    marks: dict[UUID, Mark], provider: IdentityProvider, trouble: Trouble
) -> None:
    fresh = {provider.pk: Mark(trouble=trouble, at=timezone.now())}
    others = {pk: mark for pk, mark in marks.items() if pk != provider.pk}
    _store(dict([*fresh.items(), *others.items()][:MOST]))


def _store(marks: dict[UUID, Mark]) -> None:
    told = {
        str(pk): (mark.trouble.value, mark.at.timestamp()) for pk, mark in marks.items()
    }
    cache.set(_name(), told, KEPT.total_seconds())


def _name() -> str:
    return topic(PLATFORM, "oidc", "key-troubles")
