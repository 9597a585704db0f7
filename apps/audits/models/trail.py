"""Receipts and the sealed trail: entries, heads, checkpoints. Plain values, never foreign keys."""

from __future__ import annotations

import uuid
from typing import Any, ClassVar

from django.db import models
from django.db.models import F, Q

from apps.core.tenancy import scoped_manager


class Receipt(models.Model):
    """One refusal or failure of a known principal, counted when it repeats within a minute."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    organisation_id = models.UUIDField()
    user_id = models.UUIDField(null=True)
    code = models.CharField(max_length=64)
    explanation = models.TextField()
    rule = models.CharField(max_length=200, blank=True)
    field = models.CharField(max_length=100, blank=True)
    values = models.JSONField(default=dict)
    fix = models.TextField(blank=True)
    lifts_at = models.DateTimeField(null=True)
    correlation_id = models.CharField(max_length=128, blank=True)
    count = models.PositiveIntegerField(default=1)
    created_at = models.DateTimeField()
    last_at = models.DateTimeField()

    objects: ClassVar[Any] = scoped_manager("organisation_id")

    class Meta:
        base_manager_name = "objects"
        constraints = [
            models.CheckConstraint(
                condition=~models.Q(code=""), name="audits_receipt_code_present"
            ),
            models.CheckConstraint(
                condition=models.Q(count__gte=1), name="audits_receipt_count_positive"
            ),
            models.CheckConstraint(
                condition=models.Q(last_at__gte=models.F("created_at")),
                name="audits_receipt_last_not_before_first",
            ),
        ]
        indexes = [
            # receipts.record: the same refusal of the same person within the last minute
            models.Index(
                fields=["organisation_id", "user_id", "code", "last_at"],
                name="audits_receipt_repeat",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.code} ({self.id})"


class Entry(models.Model):
    """One link of an organisation's trail. `body` is what is sealed; other columns are indexes of it."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    organisation_id = models.UUIDField(help_text="All zeroes: the platform's own.")
    seq = models.PositiveBigIntegerField()
    at = models.DateTimeField()
    act = models.CharField(max_length=40)
    outcome = models.CharField(max_length=16)
    actor_kind = models.CharField(max_length=16)
    actor_id = models.UUIDField(null=True)
    target = models.CharField(max_length=120, blank=True)
    body = models.TextField(help_text="Canonical JSON, sealed as it stands here.")
    key_id = models.CharField(max_length=32)
    previous = models.CharField(
        max_length=64, help_text="The digest of the one before."
    )
    digest = models.CharField(max_length=64, help_text="SHA-256 of previous and body.")
    code = models.CharField(max_length=64, help_text="HMAC of the digest.")

    objects: ClassVar[Any] = scoped_manager("organisation_id")

    class Meta:
        base_manager_name = "objects"
        verbose_name_plural = "entries"
        ordering = ["-seq"]
        constraints = [
            models.UniqueConstraint(
                fields=["organisation_id", "seq"], name="audits_entry_numbered"
            ),
            models.CheckConstraint(
                condition=Q(seq__gte=1), name="audits_entry_seq_from_one"
            ),
            models.CheckConstraint(
                condition=Q(outcome__in=["done", "refused"]),
                name="audits_entry_outcome_known",
            ),
        ]
        indexes = [
            models.Index(
                fields=["organisation_id", "act", "at"], name="audits_entry_by_act"
            ),
            models.Index(fields=["target"], name="audits_entry_by_target"),
            models.Index(fields=["-at"], name="audits_entry_newest"),
            # the admin's search for a person; runners and sweeps have no id
            models.Index(
                fields=["actor_id", "-at"],
                name="audits_entry_by_actor",
                condition=Q(actor_id__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.seq} {self.act}"


class Head(models.Model):
    """The end of an organisation's chain. Locked last of all rows."""

    organisation_id = models.UUIDField(primary_key=True)
    seq = models.PositiveBigIntegerField(default=0)
    digest = models.CharField(max_length=64)
    first_kept = models.PositiveBigIntegerField(default=1)
    checkpointed = models.PositiveBigIntegerField(default=0)
    checkpointed_at = models.DateTimeField(null=True)

    objects: ClassVar[Any] = scoped_manager("organisation_id")

    class Meta:
        base_manager_name = "objects"
        constraints = [
            models.CheckConstraint(
                condition=Q(first_kept__gte=1) & Q(first_kept__lte=F("seq") + 1),
                name="audits_head_range_sane",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.organisation_id} at {self.seq}"


class Checkpoint(models.Model):
    """A signed statement of where a chain stood, kept outside the database too."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    organisation_id = models.UUIDField()
    seq = models.PositiveBigIntegerField()
    digest = models.CharField(max_length=64)
    at = models.DateTimeField()
    body = models.TextField(help_text="Canonical JSON, signed as it stands here.")
    key_id = models.CharField(max_length=32)
    signature = models.CharField(max_length=200, help_text="Ed25519, base64.")

    objects: ClassVar[Any] = scoped_manager("organisation_id")

    class Meta:
        base_manager_name = "objects"
        ordering = ["-seq"]
        constraints = [
            models.UniqueConstraint(
                fields=["organisation_id", "seq"], name="audits_checkpoint_once"
            ),
            models.CheckConstraint(
                condition=~Q(signature=""), name="audits_checkpoint_signed"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.organisation_id} at {self.seq}"
