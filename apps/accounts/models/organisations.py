"""Organisations, and who belongs to them. How people sign in: providers."""

from __future__ import annotations

import uuid

from django.db import models

from apps.accounts.models.people import User
from apps.accounts.plans import PLANS, Plan, SignUp, Tier
from apps.core.tenancy import TenantModel


class Organisation(models.Model):
    """A company that uses Netra: the tenant that every row belongs to."""

    class Kind(models.TextChoices):
        CUSTOMER = "customer", "Customer"
        PLATFORM = "platform", "Platform (Netra's own)"
        CANARY = "canary", "Canary (for isolation audits)"

    class Status(models.TextChoices):
        ACTIVE = "active", "Active"
        SUSPENDED = "suspended", "Suspended"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    slug = models.SlugField(max_length=63, unique=True)
    name = models.CharField(max_length=150)
    kind = models.CharField(max_length=16, choices=Kind, default=Kind.CUSTOMER)
    tier = models.CharField(
        max_length=16,
        choices=[(tier.value, tier.value) for tier in Tier],
        default=Tier.FREE,
    )
    signed_up_with = models.CharField(
        max_length=16,
        choices=[(source.value, source.value) for source in SignUp],
        blank=True,
        default="",
        db_default="",
        help_text="Through whom it came; its first tier follows from it. Empty: the tier was chosen.",
    )
    status = models.CharField(max_length=16, choices=Status, default=Status.ACTIVE)
    concurrent_executions = models.PositiveSmallIntegerField(
        null=True,
        blank=True,
        help_text="How many agents may work for it at once; empty: as its tier says.",
    )
    sso_required = models.BooleanField(
        "sign-in only through the company's provider",
        default=False,
        db_default=False,
        help_text="Passwords are refused. Look first at who would be locked out.",
    )
    session_idle_minutes = models.PositiveSmallIntegerField(
        null=True,
        blank=True,
        help_text="A session that was not used for so long ends; empty: 30 minutes.",
    )
    session_hours = models.PositiveSmallIntegerField(
        null=True,
        blank=True,
        help_text="Every session ends after so many hours; empty: 12.",
    )
    grants_need_consent = models.BooleanField(
        "support asks before it reads",
        default=False,
        db_default=False,
        help_text="An owner of the organisation approves each grant; else a second person of support.",
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["name"]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(session_idle_minutes__isnull=True)
                | models.Q(session_idle_minutes__range=(1, 1440)),
                name="accounts_organisation_idle_sane",
            ),
            models.CheckConstraint(
                condition=models.Q(session_hours__isnull=True)
                | models.Q(session_hours__range=(1, 168)),
                name="accounts_organisation_session_hours_sane",
            ),
            models.CheckConstraint(
                condition=models.Q(tier__in=[t.value for t in Tier]),
                name="accounts_organisation_tier_known",
            ),
            models.CheckConstraint(
                condition=models.Q(status__in=["active", "suspended"]),
                name="accounts_organisation_status_known",
            ),
            models.CheckConstraint(
                condition=models.Q(kind__in=["customer", "platform", "canary"]),
                name="accounts_organisation_kind_known",
            ),
            models.CheckConstraint(
                condition=models.Q(concurrent_executions__isnull=True)
                | models.Q(concurrent_executions__gte=1),
                name="accounts_organisation_runs_something",
            ),
            models.UniqueConstraint(
                fields=["kind"],
                condition=models.Q(kind="platform"),
                name="accounts_organisation_one_platform",
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def plan(self) -> Plan:
        return PLANS[Tier(self.tier)]


class Membership(TenantModel):
    """A person's place in an organisation."""

    class Role(models.TextChoices):
        OWNER = "owner", "Owner"
        ADMIN = "admin", "Admin"
        MEMBER = "member", "Member"
        VIEWER = "viewer", "Viewer (reads, asks nothing)"

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="memberships")
    role = models.CharField(max_length=16, choices=Role, default=Role.MEMBER)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta(TenantModel.Meta):
        ordering = ["created_at"]
        constraints = [
            models.UniqueConstraint(
                fields=["organisation", "user"],
                name="accounts_membership_once_per_person",
            ),
            models.CheckConstraint(
                condition=models.Q(role__in=["owner", "admin", "member", "viewer"]),
                name="accounts_membership_role_known",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.user} in {self.organisation} ({self.role})"
