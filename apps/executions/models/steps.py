"""The step ledger: what tools with side effects did, and the decisions that people made about it."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from apps.core.content import ContentCharField, ContentJSONField
from apps.core.tenancy import TenantModel
from apps.executions.models.execution import Execution


class Step(TenantModel):
    """One call of a tool with side effects. Its key is the same in every attempt.

    `started` without an end means that nobody knows whether it happened.
    """

    class State(models.TextChoices):
        PLANNED = "planned", "Planned"
        STARTED = "started", "Started"
        FINISHED = "finished", "Finished"
        FAILED = "failed", "Failed, without effect"

    execution = models.ForeignKey(
        Execution, on_delete=models.CASCADE, related_name="steps"
    )
    key = models.CharField(max_length=200)
    tool = models.CharField(max_length=64)
    state = models.CharField(max_length=16, choices=State, default=State.PLANNED)
    attempt = models.PositiveSmallIntegerField(help_text="The attempt it was last in.")
    fence = models.PositiveIntegerField()
    result = ContentJSONField(null=True)
    planned_at = models.DateTimeField()
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)

    class Meta(TenantModel.Meta):
        ordering = ["planned_at"]
        constraints = [
            models.UniqueConstraint(
                fields=["execution", "key"], name="executions_step_once_per_key"
            ),
            models.CheckConstraint(
                condition=Q(state__in=["planned", "started", "finished", "failed"]),
                name="executions_step_state_known",
            ),
            models.CheckConstraint(
                condition=Q(state="planned") | Q(started_at__isnull=False),
                name="executions_step_started_has_time",
            ),
            models.CheckConstraint(
                condition=(
                    Q(state__in=["finished", "failed"]) & Q(finished_at__isnull=False)
                )
                | (~Q(state__in=["finished", "failed"]) & Q(finished_at__isnull=True)),
                name="executions_step_ended_iff_finished",
            ),
            models.CheckConstraint(
                condition=~Q(key=""), name="executions_step_key_present"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.tool} {self.state}"


class Approval(TenantModel):
    """A question to a person on which an execution waits, and the answer."""

    execution = models.ForeignKey(
        Execution, on_delete=models.CASCADE, related_name="approvals"
    )
    call_id = models.CharField(max_length=200)
    tool = models.CharField(max_length=64)
    reason = ContentCharField(max_length=300, blank=True)
    arguments = ContentJSONField(default=dict)
    asked_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    decided_at = models.DateTimeField(null=True)
    approved = models.BooleanField(null=True)
    decided_by = models.UUIDField(
        null=True, help_text="Empty: nobody answered in time."
    )
    decided_label = models.CharField(max_length=200, blank=True)
    comment = ContentCharField(max_length=300, blank=True)

    class Meta(TenantModel.Meta):
        ordering = ["asked_at"]
        constraints = [
            models.UniqueConstraint(
                fields=["execution", "call_id"],
                name="executions_approval_once_per_call",
            ),
            models.UniqueConstraint(
                fields=["execution"],
                condition=Q(decided_at__isnull=True),
                name="executions_approval_one_open",
            ),
            models.CheckConstraint(
                condition=(Q(decided_at__isnull=True) & Q(approved__isnull=True))
                | (Q(decided_at__isnull=False) & Q(approved__isnull=False)),
                name="executions_approval_decided_iff_answered",
            ),
            models.CheckConstraint(
                condition=Q(expires_at__gt=models.F("asked_at")),
                name="executions_approval_expires_later",
            ),
        ]

    def __str__(self) -> str:
        return f"approval of {self.tool}"
