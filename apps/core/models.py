"""Feature flags: which of the switchable paths are on, for whom."""

from __future__ import annotations

import uuid

from django.db import models
from django.db.models import Q


class Flag(models.Model):
    """One switchable path. Without a row the path has its default; see `core.flags`."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name = models.SlugField(max_length=64)
    organisation_id = models.UUIDField(
        null=True, blank=True, help_text="Empty: for all organisations."
    )
    percentage = models.PositiveSmallIntegerField(
        default=100, help_text="Of the organisations, for which the path is on."
    )
    reason = models.CharField(max_length=300, blank=True)
    changed_by = models.CharField(max_length=200, blank=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["name"]
        constraints = [
            models.UniqueConstraint(
                fields=["name"],
                condition=Q(organisation_id__isnull=True),
                name="core_flag_once_for_all",
            ),
            models.UniqueConstraint(
                fields=["name", "organisation_id"],
                condition=Q(organisation_id__isnull=False),
                name="core_flag_once_per_organisation",
            ),
            models.CheckConstraint(
                condition=Q(percentage__lte=100), name="core_flag_percentage_sane"
            ),
            models.CheckConstraint(
                condition=~Q(name=""), name="core_flag_name_present"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name} {self.percentage} %"
