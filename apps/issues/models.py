"""Issues and the executions that are their evidence."""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q

from apps.core.tenancy import TenantModel


class Issue(TenantModel):
    """One fault of one organisation, however often it was seen."""

    class Status(models.TextChoices):
        OPEN = "open", "Open"
        CLOSED = "closed", "Closed"

    number = models.PositiveIntegerField(unique=True)
    title = models.CharField(max_length=200)
    fingerprint = models.CharField(max_length=64)
    status = models.CharField(max_length=16, choices=Status, default=Status.OPEN)
    count = models.PositiveIntegerField(default=0)
    first_seen = models.DateTimeField()
    last_seen = models.DateTimeField()

    class Meta(TenantModel.Meta):
        ordering = ["-last_seen"]
        constraints = [
            models.UniqueConstraint(
                fields=["organisation", "fingerprint"],
                name="issues_issue_fingerprint_once",
            ),
            models.CheckConstraint(
                condition=Q(status__in=["open", "closed"]),
                name="issues_issue_status_known",
            ),
            models.CheckConstraint(
                condition=Q(last_seen__gte=F("first_seen")),
                name="issues_issue_last_not_before_first",
            ),
            models.CheckConstraint(
                condition=~Q(fingerprint=""), name="issues_issue_fingerprint_present"
            ),
        ]

    def __str__(self) -> str:
        return f"#{self.number} {self.title}"


class Evidence(TenantModel):
    """One failed execution that belongs to an issue."""

    issue = models.ForeignKey(Issue, on_delete=models.CASCADE, related_name="evidence")
    execution = models.OneToOneField(
        "executions.Execution", on_delete=models.CASCADE, related_name="+"
    )
    at = models.DateTimeField()

    class Meta(TenantModel.Meta):
        verbose_name_plural = "evidence"
        ordering = ["-at"]

    def __str__(self) -> str:
        return f"{self.execution_id} for {self.issue}"
