"""Who acts: a frozen value that every write names. Authentication belongs to accounts."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID


class ActorKind(StrEnum):
    """In which capacity someone acts."""

    USER = "user"  # a member of an organisation
    STAFF = "staff"  # support, through the admin
    SYSTEM = "system"  # sweeper, runner, commands


@dataclass(frozen=True, slots=True)
class Actor:
    """The one who acts, as it is written into history."""

    kind: ActorKind
    id: UUID | None
    label: str

    @classmethod
    def user(cls, user_id: UUID, label: str) -> Actor:
        return cls(ActorKind.USER, user_id, label)

    @classmethod
    def staff(cls, user_id: UUID, label: str) -> Actor:
        return cls(ActorKind.STAFF, user_id, label)

    @classmethod
    def system(cls, label: str) -> Actor:
        return cls(ActorKind.SYSTEM, None, label)
