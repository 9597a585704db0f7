"""Who is signed in where: an index beside the sessions, without their contents."""

from __future__ import annotations

import uuid

from django.db import models

from apps.accounts.models.people import User
from apps.accounts.models.providers import IdentityProvider


class SignIn(models.Model):
    """One session of one person, from signing in to its end. Belongs to the person, not to a tenant."""

    class Method(models.TextChoices):
        PASSWORD = "password", "Password"
        PROVIDER = "provider", "Company's provider"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="sign_ins")
    session_key = models.CharField(max_length=40, unique=True)
    method = models.CharField(max_length=16, choices=Method)
    provider = models.ForeignKey(
        IdentityProvider, on_delete=models.CASCADE, null=True, related_name="+"
    )
    sub = models.CharField(max_length=191, blank=True)
    sid = models.CharField(
        max_length=255, blank=True, help_text="The provider's name for its session."
    )
    second_factor = models.CharField(
        max_length=16, blank=True, help_text="totp, webauthn or recovery_codes."
    )
    stamp = models.CharField(
        max_length=64, help_text="Of the password it began under; another one voids it."
    )
    authenticated_at = models.DateTimeField(
        null=True,
        help_text="When the person last proved who they are; empty where their provider does not tell.",
    )
    signed_in_at = models.DateTimeField()
    seen_at = models.DateTimeField()
    ends_at = models.DateTimeField(help_text="The latest end, whatever happens.")
    ended_at = models.DateTimeField(null=True)
    end_reason = models.CharField(max_length=40, blank=True)
    address = models.GenericIPAddressField(null=True)
    agent = models.CharField(max_length=200, blank=True)

    class Meta:
        ordering = ["-signed_in_at"]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(method__in=["password", "provider"]),
                name="accounts_signin_method_known",
            ),
            models.CheckConstraint(
                condition=models.Q(method="password")
                | models.Q(provider__isnull=False),
                name="accounts_signin_provider_named",
            ),
            models.CheckConstraint(
                condition=models.Q(ended_at__isnull=True) | ~models.Q(end_reason=""),
                name="accounts_signin_end_has_reason",
            ),
            models.CheckConstraint(
                condition=models.Q(ends_at__gt=models.F("signed_in_at")),
                name="accounts_signin_ends_later",
            ),
        ]
        indexes = [
            # a person's live sessions: the list of sessions, and who still has a way in
            models.Index(
                fields=["user", "ended_at", "ends_at"], name="accounts_signin_of_person"
            ),
            # back-channel logout names a provider's session or subject
            models.Index(
                fields=["provider", "sub"], name="accounts_signin_of_identity"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.user} since {self.signed_in_at:%Y-%m-%d %H:%M}"
