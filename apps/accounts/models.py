"""Users, organisations, and how people belong to and sign in for them."""

from __future__ import annotations

import uuid
from typing import Any, ClassVar

from django.contrib.auth.models import (
    AbstractBaseUser,
    BaseUserManager,
    PermissionsMixin,
)
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models.functions import Lower

from apps.accounts.plans import PLANS, Plan, Tier
from apps.core.fields import EncryptedTextField
from apps.core.tenancy import TenantModel, system

PUBLIC_MAIL_DOMAINS = frozenset(
    {
        "aol.com",
        "gmail.com",
        "gmx.net",
        "googlemail.com",
        "hotmail.com",
        "icloud.com",
        "live.com",
        "outlook.com",
        "proton.me",
        "yahoo.com",
    }
)


class UserManager(BaseUserManager["User"]):
    """Makes users from an e-mail address; Django's commands need it."""

    def create_user(
        self, email: str, password: str | None = None, **extra: Any
    ) -> User:
        user = self.model(email=self.normalize_email(email).lower(), **extra)
        user.set_password(password)
        user.full_clean(exclude=["password"])
        user.save(using=self._db)
        return user

    def create_superuser(
        self, email: str, password: str | None = None, **extra: Any
    ) -> User:
        return self.create_user(
            email, password, is_staff=True, is_superuser=True, **extra
        )


class User(AbstractBaseUser, PermissionsMixin):
    """A person, known by e-mail address; the key is a UUID."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    email = models.EmailField(unique=True)
    name = models.CharField(max_length=150, blank=True)
    is_active = models.BooleanField(default=True)
    is_staff = models.BooleanField(default=False, help_text="May open the admin.")
    created_at = models.DateTimeField(auto_now_add=True)

    objects: ClassVar[UserManager] = UserManager()

    USERNAME_FIELD = "email"
    EMAIL_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = []

    class Meta:
        ordering = ["email"]
        constraints = [
            models.UniqueConstraint(
                Lower("email"), name="accounts_user_email_unique_any_case"
            ),
            models.CheckConstraint(
                condition=~models.Q(email=""), name="accounts_user_email_present"
            ),
        ]

    def __str__(self) -> str:
        return self.email

    def get_full_name(self) -> str:
        return self.name or self.email

    def get_short_name(self) -> str:
        return self.name.split(" ")[0] or self.email


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
    status = models.CharField(max_length=16, choices=Status, default=Status.ACTIVE)
    concurrent_executions = models.PositiveSmallIntegerField(
        null=True,
        blank=True,
        help_text="How many agents may work for it at once; empty: as its tier says.",
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["name"]
        constraints = [
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


class IdentityProvider(TenantModel):
    """An organisation's OpenID Connect provider. `provider_id` never changes: identities hang on it."""

    provider_id = models.SlugField(max_length=63, unique=True)
    name = models.CharField(max_length=100)
    issuer = models.URLField(max_length=500)
    client_id = models.CharField(max_length=200)
    secret = EncryptedTextField(blank=True)
    enabled = models.BooleanField(default=True)
    creates_members = models.BooleanField(
        default=True, help_text="A first sign-in makes a membership."
    )
    default_role = models.CharField(
        max_length=16, choices=Membership.Role, default=Membership.Role.MEMBER
    )
    email_domain = models.CharField(
        max_length=253, help_text="The one domain whose addresses it may assert."
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta(TenantModel.Meta):
        ordering = ["provider_id"]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(default_role__in=["admin", "member", "viewer"]),
                name="accounts_provider_never_makes_owners",
            ),
            models.CheckConstraint(
                condition=~models.Q(email_domain=""),
                name="accounts_provider_domain_present",
            ),
            models.UniqueConstraint(
                fields=["organisation", "issuer", "client_id"],
                name="accounts_provider_once_per_issuer",
            ),
        ]

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        self.email_domain = self.email_domain.strip().lower().removeprefix("@")
        if self.email_domain in PUBLIC_MAIL_DOMAINS:
            raise ValidationError(
                {
                    "email_domain": "Anybody can have an address there; name a domain of the company's own."
                }
            )
        with system("accounts: whether another organisation speaks for a domain"):
            others = IdentityProvider.objects.filter(
                email_domain__iexact=self.email_domain
            )
            if others.exclude(organisation_id=self.organisation_id).exists():
                raise ValidationError(
                    {
                        "email_domain": "Another organisation's provider speaks for this domain."
                    }
                )


class Identity(TenantModel):
    """A person as one provider knows them: (provider, sub), over allauth's SocialAccount."""

    class Status(models.TextChoices):
        ACTIVE = "active", "Active"
        SUSPENDED = "suspended", "Suspended"

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="identities")
    provider = models.ForeignKey(
        IdentityProvider, on_delete=models.PROTECT, related_name="identities"
    )
    sub = models.CharField(max_length=191)
    email = models.EmailField(help_text="As the provider asserted it last.")
    status = models.CharField(max_length=16, choices=Status, default=Status.ACTIVE)
    linked_at = models.DateTimeField()
    last_used_at = models.DateTimeField(null=True, blank=True)

    class Meta(TenantModel.Meta):
        verbose_name_plural = "identities"
        ordering = ["-linked_at"]
        constraints = [
            models.UniqueConstraint(
                fields=["provider", "sub"], name="accounts_identity_one_person_per_sub"
            ),
            models.CheckConstraint(
                condition=models.Q(status__in=["active", "suspended"]),
                name="accounts_identity_status_known",
            ),
            models.CheckConstraint(
                condition=~models.Q(sub=""), name="accounts_identity_sub_present"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.email} at {self.provider}"


class Token(TenantModel):
    """An API bearer token of one person in one organisation. Only its hash is kept."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="tokens")
    name = models.CharField(max_length=100, default="API")
    prefix = models.CharField(max_length=12)
    digest = models.CharField(max_length=64, unique=True)
    created_at = models.DateTimeField()
    last_used_at = models.DateTimeField(null=True, blank=True)
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)

    class Meta(TenantModel.Meta):
        ordering = ["-created_at"]
        constraints = [
            models.CheckConstraint(
                condition=~models.Q(digest=""), name="accounts_token_digest_present"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.prefix}…"
