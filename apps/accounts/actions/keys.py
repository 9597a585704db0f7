"""Changing keys: a new one is made, and what an older one sealed is sealed again, batch by batch.

Old keys are never removed here: a backup may still need them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.apps import apps
from django.conf import settings
from django.db import models
from django.db.models import F, QuerySet
from django.db.models.functions import Cast

from apps.audits import trail
from apps.audits.acts import Act
from apps.core.actors import Actor
from apps.core.fields import (
    EncryptedTextField,
    SealedValueError,
    is_sealed,
    seal,
    unseal,
)
from apps.core.keys import KeyStore

BATCH = 200
SECOND_FACTORS = "mfa_authenticator.data"  # the context of allauth's seeds and codes
Key = UUID | int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What one bounded unit did: how many rows, where it ended, what could not be opened."""

    sealed: int
    last: Key
    lost: tuple[str, ...] = ()


def make_key(*, actor: Actor, purpose: str) -> str:
    """Make the next key of `purpose`; from now on everything new uses it."""
    store = KeyStore(settings.NETRA_KEYS)
    before = store.newest(purpose)
    name = store.add(purpose)
    trail.record(
        Act.KEYS_ROTATED,
        actor=actor,
        organisation_id=None,
        target=f"key:{name}",
        purpose=purpose,
        before=before,
        after=name,
    )
    return name


def note_resealed(*, actor: Actor, name: str, values: int, lost: int) -> None:
    """Record that nothing but what is lost names an older key than `name` any more."""
    trail.record(
        Act.KEYS_ROTATED,
        actor=actor,
        organisation_id=None,
        target=f"key:{name}",
        purpose="fields",
        resealed=values,
        lost=lost,
    )


# -- columns -----------------------------------------------------------------------------


def sealed_columns() -> Iterator[tuple[type[models.Model], EncryptedTextField]]:
    """Every encrypted column of every app."""
    for model in apps.get_models():
        for field in model._meta.local_concrete_fields:
            if isinstance(field, EncryptedTextField):
                yield model, field


def stale(
    model: type[models.Model], field: EncryptedTextField, newest: str
) -> QuerySet[Any]:
    """The rows whose value names an older key, with that value as it is stored."""
    manager: Any = model._default_manager  # noqa: SLF001 - documented; of any model
    stored = Cast(F(field.attname), models.TextField())
    rows: QuerySet[Any] = manager.annotate(stored=stored).exclude(stored="")
    return rows.exclude(stored__isnull=True).exclude(stored__startswith=f"{newest}:")


def reseal_column(
    *,
    actor: Actor,
    model: type[models.Model],
    field: EncryptedTextField,
    newest: str,
    after: Key = None,
) -> Batch:
    """Seal the next rows with the newest key. Whoever changes one meanwhile has it their way."""
    rows = stale(model, field, newest).order_by("pk")
    if after is not None:
        rows = rows.filter(pk__gt=after)
    found = list(rows.values_list("pk", "stored")[:BATCH])
    sealed, lost = 0, []
    for pk, stored in found:
        try:
            plain = unseal(stored, context=field.context)
        except SealedValueError:
            lost.append(f"{model._meta.db_table}.{field.attname} of {pk}")
            continue
        mine = stale(model, field, newest).filter(pk=pk, stored=stored)
        sealed += mine.update(**{field.attname: plain})
    return Batch(sealed=sealed, last=found[-1][0] if found else None, lost=tuple(lost))


# -- second factors ----------------------------------------------------------------------


def reseal_second_factors(*, actor: Actor, newest: str, after: Key = None) -> Batch:
    """The same for the seeds and codes that allauth keeps in JSON, the plain ones too."""
    model = apps.get_model("mfa", "Authenticator")
    rows = model.objects.filter(type__in=["totp", "recovery_codes"]).order_by("pk")
    if after is not None:
        rows = rows.filter(pk__gt=after)
    sealed, lost, found = 0, [], list(rows.select_for_update()[:BATCH])
    for row in found:
        try:
            data = _resealed(row.data, newest)
        except SealedValueError:
            lost.append(f"mfa_authenticator.data of {row.pk}")
            continue
        if data != row.data:
            sealed += model.objects.filter(pk=row.pk).update(data=data)
    return Batch(sealed=sealed, last=found[-1].pk if found else None, lost=tuple(lost))


def _resealed(data: dict[str, Any], newest: str) -> dict[str, Any]:
    def one(text: str) -> str:
        if text.startswith(f"{newest}:"):
            return text
        plain = unseal(text, context=SECOND_FACTORS) if is_sealed(text) else text
        return seal(plain, context=SECOND_FACTORS)

    return {**data, **_changed(data, one)}


def _changed(data: dict[str, Any], one: Callable[[str], str]) -> dict[str, Any]:
    changed: dict[str, Any] = {
        name: one(data[name])
        for name in ("secret", "seed")
        if isinstance(data.get(name), str)
    }
    codes = data.get("migrated_codes")
    if isinstance(codes, list):
        changed["migrated_codes"] = [one(str(code)) for code in codes]
    return changed
