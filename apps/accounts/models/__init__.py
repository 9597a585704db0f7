"""Users, organisations, and how people belong to and sign in for them."""

from __future__ import annotations

from apps.accounts.models.organisations import Membership, Organisation
from apps.accounts.models.people import User, UserManager
from apps.accounts.models.providers import Domain, Identity, IdentityProvider
from apps.accounts.models.scim import DirectoryGroup, DirectoryMember, DirectoryUser
from apps.accounts.models.signins import SignIn
from apps.accounts.models.tokens import ScimToken, Token

__all__ = [
    "DirectoryGroup",
    "DirectoryMember",
    "DirectoryUser",
    "Domain",
    "Identity",
    "IdentityProvider",
    "Membership",
    "Organisation",
    "ScimToken",
    "SignIn",
    "Token",
    "User",
    "UserManager",
]
