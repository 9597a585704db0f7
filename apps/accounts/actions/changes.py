"""What an act changed, as the trail keeps it: before and after, and of secrets only that they changed."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from uuid import UUID

from django.db import models

from apps.audits.chain import Value

SECRETS = frozenset({"secret", "password"})
CHANGED = "changed"


def differences(
    before: models.Model, after: models.Model, names: Collection[str]
) -> dict[str, Value]:
    """Of these columns, those that differ."""
    found: dict[str, Value] = {}
    for name in names:
        old, new = getattr(before, name), getattr(after, name)
        if old == new:
            continue
        found[name] = (
            CHANGED if name in SECRETS else {"before": told(old), "after": told(new)}
        )
    return found


def told(value: object) -> Value:
    """A value in the forms that the trail knows."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, dict):
        return {str(key): told(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [str(item) for item in value]
    return str(value)
