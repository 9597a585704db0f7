"""Circuit breakers, shared by all processes and all organisations: they speak of providers, not of people."""

from __future__ import annotations

import uuid

from django.db import models
from django.db.models import Q


class Breaker(models.Model):
    """Whether a provider's model may be called at present. Every change is a compare-and-swap on `version`."""

    class State(models.TextChoices):
        CLOSED = "closed", "Closed: calls pass"
        OPEN = "open", "Open: calls are refused"
        HALF_OPEN = "half_open", "Half open: one call tries"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    key = models.CharField(max_length=160, unique=True, help_text="provider:model")
    state = models.CharField(max_length=16, choices=State, default=State.CLOSED)
    failures = models.PositiveIntegerField(default=0, help_text="In a row, closed.")
    successes = models.PositiveIntegerField(default=0, help_text="In a row, half open.")
    opened_at = models.DateTimeField(null=True)
    open_until = models.DateTimeField(null=True)
    probe_token = models.UUIDField(null=True)
    probe_until = models.DateTimeField(null=True)
    trips = models.PositiveIntegerField(default=0, help_text="How often it opened.")
    last_error = models.CharField(max_length=300, blank=True)
    version = models.PositiveIntegerField(default=1)
    updated_at = models.DateTimeField()

    class Meta:
        ordering = ["key"]
        constraints = [
            models.CheckConstraint(
                condition=Q(state__in=["closed", "open", "half_open"]),
                name="executions_breaker_state_known",
            ),
            models.CheckConstraint(
                condition=Q(state="closed")
                | (Q(opened_at__isnull=False) & Q(open_until__isnull=False)),
                name="executions_breaker_open_has_times",
            ),
            models.CheckConstraint(
                condition=Q(state="half_open") | Q(probe_token__isnull=True),
                name="executions_breaker_probes_only_half_open",
            ),
            models.CheckConstraint(
                condition=~Q(key=""), name="executions_breaker_key_present"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.key} {self.state}"
