"""What an organisation's directory told us over SCIM: its users and groups, as it names them."""

from __future__ import annotations

from django.db import models
from django.db.models.functions import Lower

from apps.accounts.models.organisations import Membership
from apps.accounts.models.people import User
from apps.core.tenancy import TenantModel


class DirectoryUser(TenantModel):
    """A user resource of the directory; while active, the person has a membership.

    An empty `email` means that the user name is the address.
    """

    user = models.ForeignKey(
        User, on_delete=models.CASCADE, related_name="directory_entries"
    )
    user_name = models.CharField(max_length=254)
    external_id = models.CharField(max_length=255, blank=True)
    email = models.CharField(max_length=254, blank=True)
    display_name = models.CharField(max_length=150, blank=True)
    given_name = models.CharField(max_length=150, blank=True)
    family_name = models.CharField(max_length=150, blank=True)
    active = models.BooleanField(default=True)
    created_at = models.DateTimeField()
    changed_at = models.DateTimeField()

    class Meta(TenantModel.Meta):
        ordering = ["created_at", "id"]
        indexes = [
            models.Index(
                fields=["organisation", "external_id"],
                name="accounts_dirperson_by_ext",
            ),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["organisation", "user"],
                name="accounts_directoryuser_once_per_person",
            ),
            models.UniqueConstraint(
                fields=["organisation", "user_name"],
                name="accounts_directoryuser_name_once",
            ),
            models.CheckConstraint(
                condition=~models.Q(user_name=""),
                name="accounts_directoryuser_name_present",
            ),
            # Names of users are the same in any case (RFC 7643, 4.1.1), so one case is kept.
            models.CheckConstraint(
                condition=models.Q(user_name=Lower("user_name"))
                & models.Q(email=Lower("email")),
                name="accounts_directoryuser_lower_case",
            ),
        ]

    def __str__(self) -> str:
        return self.user_name


class DirectoryGroup(TenantModel):
    """A group of the directory; it may give its members a role."""

    name = models.CharField(max_length=200)
    external_id = models.CharField(max_length=255, blank=True)
    role = models.CharField(
        max_length=16,
        choices=Membership.Role,
        blank=True,
        help_text="Members have at least this role; empty: it gives none.",
    )
    created_at = models.DateTimeField()
    changed_at = models.DateTimeField()

    class Meta(TenantModel.Meta):
        ordering = ["created_at", "id"]
        constraints = [
            models.UniqueConstraint(
                fields=["organisation", "name"],
                name="accounts_directorygroup_name_once",
            ),
            models.CheckConstraint(
                condition=models.Q(role__in=["", "admin", "member", "viewer"]),
                name="accounts_directorygroup_never_makes_owners",
            ),
        ]

    def __str__(self) -> str:
        return self.name


class DirectoryMember(TenantModel):
    """That a directory's user is in one of its groups."""

    group = models.ForeignKey(
        DirectoryGroup, on_delete=models.CASCADE, related_name="members"
    )
    person = models.ForeignKey(
        DirectoryUser, on_delete=models.CASCADE, related_name="groups"
    )

    class Meta(TenantModel.Meta):
        constraints = [
            models.UniqueConstraint(
                fields=["group", "person"], name="accounts_directorymember_once"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.person} in {self.group}"
