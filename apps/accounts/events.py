"""What accounts announce."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

from apps.core.hub import crosses


@dataclass(frozen=True, slots=True, kw_only=True)
class MembershipChanged:
    """A person joined, left, or has another role now."""

    organisation_id: UUID
    user_id: UUID
    role: str | None


class EndOfAccess(StrEnum):
    """Why somebody's access ended."""

    LOGGED_OUT = "logged out"
    TOKEN_REVOKED = "token revoked"  # noqa: S105 - no password
    MEMBERSHIP_ENDED = "membership ended"
    DEACTIVATED = "account deactivated"
    IDENTITY_SUSPENDED = "identity suspended"
    SESSION_ENDED = "session ended"
    SESSION_IDLE = "not used for too long"
    SESSION_EXPIRED = "open for too long"
    PASSWORD_CHANGED = "password changed"  # noqa: S105 - no password
    SECOND_FACTOR_CHANGED = "second factor changed"
    PROVIDER_REQUIRED = "company sign-in required"
    PROVIDER_LOGGED_OUT = "signed out at the company's provider"
    STAFF_ELSEWHERE = "no sign-in for staff"


@crosses
@dataclass(frozen=True, slots=True, kw_only=True)
class AccessEnded:
    """A person lost one way in, or all of them: what is kept for them in memory goes."""

    user_id: UUID
    organisation_id: UUID | None  # none: everywhere
    why: EndOfAccess
