"""Usage records: one row for each call of a model by a company's software."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from apps.core.tenancy import TenantModel


class Record(TenantModel):
    """One call of a model: who was called, for what, how much, how long, and what it cost."""

    class Source(models.TextChoices):
        COMPANY = "company", "The company's own software"
        NETRA = "netra", "Netra's agents"

    class Status(models.TextChoices):
        OK = "ok", "Answered"
        ERROR = "error", "Failed"
        TIMEOUT = "timeout", "Timed out"
        RATE_LIMITED = "rate_limited", "Rate limited"

    source = models.CharField(max_length=16, choices=Source, default=Source.COMPANY)
    at = models.DateTimeField()
    provider = models.CharField(max_length=64)
    model = models.CharField(max_length=128)
    feature = models.CharField(
        max_length=100, blank=True, help_text="The part of the product that called."
    )
    input_tokens = models.PositiveIntegerField(default=0)
    output_tokens = models.PositiveIntegerField(default=0)
    cached_tokens = models.PositiveIntegerField(
        default=0, help_text="Of the input, read from the prompt cache."
    )
    cacheable_tokens = models.PositiveIntegerField(
        default=0, help_text="Of the input, repeated prefix that could be cached."
    )
    latency_ms = models.PositiveIntegerField(default=0)
    status = models.CharField(max_length=16, choices=Status, default=Status.OK)
    error = models.CharField(max_length=200, blank=True)
    cost_usd = models.DecimalField(max_digits=12, decimal_places=6, default=0)
    execution_id = models.UUIDField(null=True, blank=True)

    class Meta(TenantModel.Meta):
        ordering = ["-at"]
        constraints = [
            models.CheckConstraint(
                condition=Q(source__in=["company", "netra"]),
                name="usage_record_source_known",
            ),
            models.CheckConstraint(
                condition=Q(status__in=["ok", "error", "timeout", "rate_limited"]),
                name="usage_record_status_known",
            ),
            models.CheckConstraint(
                condition=Q(
                    cached_tokens__lte=models.F("input_tokens"),
                    cacheable_tokens__lte=models.F("input_tokens"),
                ),
                name="usage_record_cache_within_input",
            ),
            models.CheckConstraint(
                condition=Q(cost_usd__gte=0), name="usage_record_cost_not_negative"
            ),
            models.UniqueConstraint(
                fields=["execution_id"],
                condition=Q(execution_id__isnull=False),
                name="usage_record_once_per_execution",
            ),
        ]
        indexes = [
            # queries: an organisation's records of a period
            models.Index(
                fields=["organisation", "source", "at"], name="usage_records_of_period"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.model} {self.at:%Y-%m-%d %H:%M}"
