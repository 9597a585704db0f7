"""What accounts announce."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class MembershipChanged:
    """A person joined, left, or has another role now."""

    organisation_id: UUID
    user_id: UUID
    role: str | None
