"""Whose identity provider speaks for whom: providers, the domains they may speak for, identities."""

from __future__ import annotations

from django.db import models
from django.db.models.functions import Lower

from apps.accounts.domains import names as domains
from apps.accounts.models.organisations import Membership
from apps.accounts.models.people import User
from apps.core.fields import EncryptedTextField
from apps.core.tenancy import TenantModel


class IdentityProvider(TenantModel):
    """An organisation's OpenID Connect provider. `provider_id` never changes: identities hang on it.

    It may assert addresses in the domains that its organisation proved, and no others.
    """

    class Preset(models.TextChoices):
        GENERIC = "generic", "OpenID Connect"
        GOOGLE = "google", "Google Workspace"
        ENTRA = "entra", "Microsoft Entra (one tenant)"

    class TokenAuth(models.TextChoices):
        BASIC = "client_secret_basic", "In the header (basic)"
        POST = "client_secret_post", "In the body (post)"

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
    preset = models.CharField(
        max_length=16,
        choices=Preset,
        default=Preset.GENERIC,
        db_default=Preset.GENERIC,
    )
    token_auth = models.CharField(
        max_length=24,
        choices=TokenAuth,
        default=TokenAuth.BASIC,
        db_default=TokenAuth.BASIC,
    )
    ask_userinfo = models.BooleanField(
        default=False,
        db_default=False,
        help_text="It gives e-mail, name and groups at its userinfo endpoint only.",
    )
    role_claim = models.CharField(
        max_length=100,
        blank=True,
        default="",
        db_default="",
        help_text="The claim that lists a person's groups or roles, for example 'groups'.",
    )
    role_map = models.JSONField(
        default=dict,
        db_default={},
        blank=True,
        help_text='From a value of that claim to a role: {"netra-admins": "admin"}. The highest counts.',
    )
    secret_expires_at = models.DateTimeField(
        null=True, blank=True, help_text="When the client secret runs out; we warn."
    )
    # The release before this one read the single domain of a provider here; Domain has it now.
    email_domain = models.CharField(
        max_length=253, blank=True, default="", db_default="", editable=False
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
                condition=models.Q(preset__in=["generic", "google", "entra"]),
                name="accounts_provider_preset_known",
            ),
            models.CheckConstraint(
                condition=models.Q(
                    token_auth__in=["client_secret_basic", "client_secret_post"]
                ),
                name="accounts_provider_token_auth_known",
            ),
            models.UniqueConstraint(
                fields=["organisation", "issuer", "client_id"],
                name="accounts_provider_once_per_issuer",
            ),
        ]

    def __str__(self) -> str:
        return self.name


class Domain(TenantModel):
    """A mail domain that an organisation claims, and proves by a DNS TXT record."""

    domain = models.CharField(max_length=253)
    challenge = models.CharField(
        max_length=64, help_text="What the TXT record at _netra-challenge must hold."
    )
    proved_at = models.DateTimeField(null=True, blank=True)
    checked_at = models.DateTimeField(null=True, blank=True)
    failures = models.PositiveSmallIntegerField(
        default=0, help_text="Checks in a row that did not find the record."
    )
    suspended_at = models.DateTimeField(
        null=True, blank=True, help_text="Set after two failed checks in a row."
    )
    finding = models.CharField(
        max_length=16,
        blank=True,
        default="",
        db_default="",
        help_text="What the last look-up found (accounts.proofs.Finding).",
    )
    look_again_at = models.DateTimeField(
        null=True, blank=True, help_text="When it is looked up again by itself."
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta(TenantModel.Meta):
        ordering = ["domain"]
        constraints = [
            models.UniqueConstraint(
                fields=["organisation", "domain"],
                name="accounts_domain_once_per_organisation",
            ),
            models.UniqueConstraint(
                fields=["domain"],
                condition=models.Q(proved_at__isnull=False),
                name="accounts_domain_proved_by_one",
            ),
            models.CheckConstraint(
                condition=models.Q(domain=Lower("domain")) & ~models.Q(domain=""),
                name="accounts_domain_lower_case",
            ),
            models.CheckConstraint(
                condition=~models.Q(challenge=""),
                name="accounts_domain_challenge_present",
            ),
            models.CheckConstraint(
                condition=models.Q(suspended_at__isnull=True)
                | models.Q(proved_at__isnull=False),
                name="accounts_domain_suspended_was_proved",
            ),
        ]

    def __str__(self) -> str:
        return self.domain

    @property
    def speaks(self) -> bool:
        """Whether the organisation's providers may assert addresses in it at present."""
        return self.proved_at is not None and self.suspended_at is None

    @property
    def readable(self) -> str:
        """With its own letters, for people."""
        return domains.readable(self.domain)

    @property
    def record_name(self) -> str:
        """Where the TXT record is to be set."""
        return domains.record_name(self.domain)


class Identity(TenantModel):
    """A person as one provider knows them: (provider, sub), over allauth's SocialAccount."""

    class Status(models.TextChoices):
        ACTIVE = "active", "Active"
        SUSPENDED = "suspended", "Suspended"

    class Reason(models.TextChoices):
        BY_HAND = "by hand", "By hand: until somebody lifts it"
        REMOVED = "removed", "The person left: until they are added again"

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="identities")
    provider = models.ForeignKey(
        IdentityProvider, on_delete=models.PROTECT, related_name="identities"
    )
    sub = models.CharField(max_length=191)
    email = models.EmailField(help_text="As the provider asserted it last.")
    status = models.CharField(max_length=16, choices=Status, default=Status.ACTIVE)
    reason = models.CharField(
        max_length=16,
        choices=Reason,
        blank=True,
        default="",
        db_default="",
        help_text="Why it is suspended.",
    )
    role = models.CharField(
        max_length=16,
        choices=Membership.Role,
        blank=True,
        default="",
        db_default="",
        help_text="What the provider's claims gave at the last sign-in; empty: it maps no roles.",
    )
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
            models.CheckConstraint(
                condition=models.Q(role__in=["", "admin", "member", "viewer"]),
                name="accounts_identity_never_makes_owners",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.email} at {self.provider}"
