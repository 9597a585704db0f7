"""Isolation audits and what each of their probes proved. Plain values, never foreign keys."""

from __future__ import annotations

import uuid
from typing import Any, ClassVar

from django.db import models
from django.db.models import Q

from apps.core.tenancy import scoped_manager


class IsolationAudit(models.Model):
    """One audit of this installation's isolation: when, by what, and what it proved."""

    class Verdict(models.TextChoices):
        RUNNING = "running", "Running"
        PASSED = "passed", "Passed"
        BREACHED = "breached", "Breached"
        INCONCLUSIVE = "inconclusive", "Inconclusive"
        INTERRUPTED = "interrupted", "Interrupted"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    organisation_id = models.UUIDField(help_text="All zeroes: the platform's own.")
    verdict = models.CharField(max_length=16, choices=Verdict, default=Verdict.RUNNING)
    trigger = models.CharField(max_length=16, help_text="command, admin, schedule")
    asked_by = models.CharField(max_length=254, blank=True)
    release = models.CharField(max_length=64)
    database = models.CharField(max_length=16)
    began_at = models.DateTimeField()
    seen_at = models.DateTimeField(help_text="When it was last heard of.")
    ended_at = models.DateTimeField(null=True)
    surfaces = models.PositiveIntegerField(default=0)
    held = models.PositiveIntegerField(default=0)
    breached = models.PositiveIntegerField(default=0)
    inconclusive = models.PositiveIntegerField(default=0)

    objects: ClassVar[Any] = scoped_manager("organisation_id")

    class Meta:
        base_manager_name = "objects"
        ordering = ["-began_at"]
        default_permissions = ("view",)
        constraints = [
            models.UniqueConstraint(
                fields=["verdict"],
                condition=Q(verdict="running"),
                name="audits_isolationaudit_one_at_a_time",
            ),
            models.CheckConstraint(
                condition=Q(
                    verdict__in=[
                        "running",
                        "passed",
                        "breached",
                        "inconclusive",
                        "interrupted",
                    ]
                ),
                name="audits_isolationaudit_verdict_known",
            ),
            models.CheckConstraint(
                condition=Q(verdict="running") ^ Q(ended_at__isnull=False),
                name="audits_isolationaudit_ends_when_over",
            ),
            models.CheckConstraint(
                condition=~Q(verdict="passed")
                | (Q(breached=0) & Q(inconclusive=0) & Q(held__gte=1)),
                name="audits_isolationaudit_passes_only_when_all_held",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_verdict_display()}, {self.began_at:%Y-%m-%d %H:%M}"


class Probe(models.Model):
    """One thing that an isolation audit tried, and what it proved. A breach is a finding."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    organisation_id = models.UUIDField()
    audit_id = models.UUIDField()
    number = models.PositiveIntegerField()
    kind = models.CharField(max_length=16)
    surface = models.CharField(max_length=200)
    check_name = models.CharField("check", max_length=16)
    outcome = models.CharField(max_length=16)
    request = models.CharField(max_length=300)
    expected = models.CharField(max_length=200)
    got = models.CharField(max_length=300)
    digest = models.CharField(
        max_length=64, blank=True, help_text="SHA-256 of the answer."
    )

    objects: ClassVar[Any] = scoped_manager("organisation_id")

    class Meta:
        base_manager_name = "objects"
        ordering = ["number"]
        default_permissions = ("view",)
        constraints = [
            models.UniqueConstraint(
                fields=["audit_id", "number"], name="audits_probe_numbered"
            ),
            models.CheckConstraint(
                condition=Q(outcome__in=["held", "breached", "inconclusive"]),
                name="audits_probe_outcome_known",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.surface}: {self.check_name} {self.outcome}"
