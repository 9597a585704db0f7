"""Support's leave to read content. Plain values, never foreign keys."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta
from typing import Any, ClassVar

from django.db import models
from django.db.models import F, Q

from apps.core.tenancy import scoped_manager

LAPSES = timedelta(days=1)  # a request that nobody answers
REVIEWED_WITHIN = timedelta(days=7)


class AccessGrant(models.Model):
    """Support's leave to read content of one organisation: why, what, how long, with whose consent."""

    class Stand(models.TextChoices):
        ASKED = "asked", "Waiting for consent"
        OPEN = "open", "Open"
        REFUSED = "refused", "Refused"
        WITHDRAWN = "withdrawn", "Withdrawn"
        LAPSED = "lapsed", "Not answered in a day"
        ENDED = "ended", "Ended early"
        EXPIRED = "expired", "Ended"

    class Reach(models.TextChoices):
        EXECUTION = "execution", "One execution"
        THREAD = "thread", "One thread"
        ORGANISATION = "organisation", "The whole organisation"

    class Reason(models.TextChoices):
        CUSTOMER_ASKED = "customer_asked", "The customer asked for help"
        INCIDENT = "incident", "An incident is being worked on"
        QUALITY = "quality", "A wrong answer is being looked into"
        LEGAL = "legal", "A legal demand"

    class Consent(models.TextChoices):
        SECOND_PERSON = "second_person", "A second person of support"
        CUSTOMER = "customer", "An owner of the organisation"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    organisation_id = models.UUIDField()
    staff_id = models.UUIDField()
    staff_label = models.CharField(max_length=254)
    reach = models.CharField(max_length=16, choices=Reach)
    reach_id = models.UUIDField(null=True, blank=True)
    reason = models.CharField(max_length=20, choices=Reason)
    explanation = models.TextField()
    ticket = models.CharField(max_length=100, help_text="A ticket or an issue number.")
    consent = models.CharField(max_length=16, choices=Consent)
    minutes = models.PositiveSmallIntegerField(default=60)
    requested_at = models.DateTimeField()
    decided_by = models.UUIDField(null=True)
    decided_label = models.CharField(max_length=254, blank=True)
    approved_at = models.DateTimeField(null=True)
    refused_at = models.DateTimeField(null=True)
    expires_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)
    reviewed_by = models.UUIDField(null=True)
    reviewed_at = models.DateTimeField(null=True)
    review = models.TextField(blank=True)

    objects: ClassVar[Any] = scoped_manager("organisation_id")

    class Meta:
        base_manager_name = "objects"
        ordering = ["-requested_at"]
        default_permissions = ("view",)
        permissions = [
            ("request_accessgrant", "Can ask to read content"),
            ("decide_accessgrant", "Can approve what another person asked for"),
            ("review_accessgrant", "Can review another person's reading"),
        ]
        constraints = [
            models.CheckConstraint(
                condition=Q(reach__in=["execution", "thread", "organisation"]),
                name="audits_accessgrant_reach_known",
            ),
            models.CheckConstraint(
                condition=Q(reach="organisation") ^ Q(reach_id__isnull=False),
                name="audits_accessgrant_reach_names_one",
            ),
            models.CheckConstraint(
                condition=Q(consent__in=["second_person", "customer"]),
                name="audits_accessgrant_consent_known",
            ),
            models.CheckConstraint(
                condition=~Q(explanation="") & ~Q(ticket=""),
                name="audits_accessgrant_has_reason",
            ),
            models.CheckConstraint(
                condition=Q(minutes__range=(1, 240)),
                name="audits_accessgrant_four_hours_at_most",
            ),
            models.CheckConstraint(
                condition=Q(decided_by__isnull=True) | ~Q(decided_by=F("staff_id")),
                name="audits_accessgrant_decided_by_another",
            ),
            models.CheckConstraint(
                condition=Q(approved_at__isnull=True)
                | Q(expires_at__isnull=False, decided_by__isnull=False),
                name="audits_accessgrant_approved_expires",
            ),
            models.CheckConstraint(
                condition=Q(approved_at__isnull=True) | Q(refused_at__isnull=True),
                name="audits_accessgrant_decided_once",
            ),
            models.CheckConstraint(
                condition=Q(reviewed_by__isnull=True) | ~Q(reviewed_by=F("staff_id")),
                name="audits_accessgrant_reviewed_by_another",
            ),
        ]
        indexes = [
            models.Index(
                fields=["staff_id", "expires_at"], name="audits_accessgrant_live"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.staff_label}: {self.reach} ({self.ticket})"

    def stand(self, now: datetime) -> Stand:
        """How it stands at `now`: open grants end by the clock, whether or not somebody looks."""
        if self.refused_at is not None:
            return self.Stand.REFUSED
        if self.approved_at is None or self.expires_at is None:
            if self.ended_at is not None:
                return self.Stand.WITHDRAWN
            lapsed = now >= self.requested_at + LAPSES
            return self.Stand.LAPSED if lapsed else self.Stand.ASKED
        if self.ended_at is not None:
            return self.Stand.ENDED
        return self.Stand.OPEN if now < self.expires_at else self.Stand.EXPIRED

    def over_at(self, now: datetime) -> datetime | None:
        """When an approved grant stopped being open; None for all others."""
        if self.stand(now) in {self.Stand.ENDED, self.Stand.EXPIRED}:
            return self.ended_at or self.expires_at
        return None

    def wants_review(self, now: datetime) -> bool:
        return self.over_at(now) is not None and self.reviewed_at is None
