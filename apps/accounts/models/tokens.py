"""Bearer tokens: of people for the API, of organisations for SCIM. Only hashes are kept."""

from __future__ import annotations

from django.db import models

from apps.accounts.models.people import User
from apps.core.tenancy import TenantModel


class Token(TenantModel):
    """An API bearer token of one person in one organisation. Only its hash is kept."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="tokens")
    name = models.CharField(max_length=100, default="API")
    prefix = models.CharField(max_length=12)
    digest = models.CharField(max_length=64, unique=True)
    scopes = models.JSONField(
        default=list,
        db_default=[],
        blank=True,
        help_text="What it may be used for (accounts.permissions.TokenScope); empty: everything its owner may.",
    )
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


class ScimToken(TenantModel):
    """The bearer token with which an organisation's directory keeps its people up to date."""

    name = models.CharField(max_length=100, default="SCIM")
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
                condition=~models.Q(digest=""),
                name="accounts_scimtoken_digest_present",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.prefix}…"
