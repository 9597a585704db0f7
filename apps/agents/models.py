"""What an organisation set for an agent. The agents themselves stand in the catalogue."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

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
        ]

    def __str__(self) -> str:
        return self.title
