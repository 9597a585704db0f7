"""What an organisation set for an agent. The agents themselves stand in the catalogue."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from apps.agents.catalogue import WhileBusy
from apps.core.tenancy import TenantModel


class Agent(TenantModel):
    """An agent as one organisation has it."""

    name = models.SlugField(max_length=64)
    title = models.CharField(max_length=100)
    description = models.CharField(max_length=300, blank=True)
    model = models.CharField(
        max_length=128,
        blank=True,
        help_text="A pydantic-ai model name; empty = NETRA_MODEL.",
    )
    enabled = models.BooleanField(default=True)
    while_busy = models.CharField(
        max_length=16,
        choices=[(policy.value, policy.value) for policy in WhileBusy],
        default=WhileBusy.QUEUE,
        db_default=WhileBusy.QUEUE.value,  # the release before inserts rows without it
        help_text="What becomes of a message that comes while an answer is being written.",
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta(TenantModel.Meta):
        ordering = ["name"]
        constraints = [
            models.UniqueConstraint(
                fields=["organisation", "name"], name="agents_agent_name_once"
            ),
            models.CheckConstraint(
                condition=~Q(name=""), name="agents_agent_name_present"
            ),
            models.CheckConstraint(
                condition=Q(while_busy__in=[policy.value for policy in WhileBusy]),
                name="agents_agent_while_busy_known",
            ),
        ]

    def __str__(self) -> str:
        return self.title
