"""Receipts: what was refused or failed, in words that the user and support both read."""

from __future__ import annotations

import uuid
from typing import Any, ClassVar

from django.db import models

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
