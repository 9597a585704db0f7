"""People and groups as an organisation's directory describes them, and what may be refused. Pure.

Knows neither SCIM's wire form (scim.mapping) nor rows (actions.directory).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

from apps.core.errors import NetraError, NotFoundError

MEMBERS_MOST = 10_000  # of one group
ROLES_MOST = 1_000  # that one change may give or take, each with an entry in the trail


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """A person of the directory. Names and addresses are in lower case."""

    user_name: str
    email: str = ""  # empty: the user name is the address
    external_id: str = ""
    display_name: str = ""
    given_name: str = ""
    family_name: str = ""
    active: bool = True

    @property
    def address(self) -> str:
        """Where mail reaches them: what they are known by everywhere else."""
        return self.email or self.user_name

    @property
    def addresses(self) -> tuple[str, ...]:
        """Those that the directory must be allowed to speak for: a user name that looks like one counts."""
        named = [self.user_name] if "@" in self.user_name else []
        return tuple(dict.fromkeys([self.address, *named]))

    @property
    def full_name(self) -> str:
        return self.display_name or f"{self.given_name} {self.family_name}".strip()


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """A group of the directory, with the ids of its members' entries."""

    name: str
    external_id: str = ""
    members: frozenset[UUID] = frozenset()


PersonChange = Callable[[Person], Person]
GroupChange = Callable[[Group], Group]


class DirectoryError(NetraError):
    """The directory asks for something that cannot be."""

    code, status = "directory_refused", 400
    keyword = ""  # SCIM's own word for it (RFC 7644, table 9)


class BadValueError(DirectoryError):
    """A value cannot be used."""

    code, keyword = "directory_value", "invalidValue"
    fix = "Correct the value in the directory, or the attribute that is mapped to it."


class ForeignAddressError(DirectoryError):
    """An address lies outside the organisation's proved domains."""

    code, keyword = "directory_domain", "invalidValue"
    fix = "Prove the domain in Netra first, or assign people of proved domains only."


class NotUniqueError(DirectoryError):
    """There is one with this name already."""

    code, status, keyword = "directory_uniqueness", 409, "uniqueness"
    fix = "Look for the existing one by its name, and change that."


class ForeignAccountError(DirectoryError):
    """This address cannot be used for a new member."""

    code, status, keyword = "directory_account", 409, "uniqueness"
    fix = "Ask Netra's support about the address."


class SharedAccountError(DirectoryError):
    """The account is not this organisation's alone, so its address cannot be changed here."""

    code, status = "directory_shared_account", 409
    fix = "Leave the address as it is, or give the person a new entry."


class TooManyRolesError(DirectoryError):
    """One change would give or take too many roles at once."""

    code, keyword = "directory_too_many_roles", "tooMany"
    fix = "Change the group in smaller steps, or let a smaller group give the role."


class UnknownEntryError(NotFoundError):
    """There is no such resource in this directory."""

    code = "directory_not_found"
    fix = "Look for it by its name; it may have been deleted."


# What is refused because of a rule of safety: these enter the trail and leave a receipt.
DECISIONS = (ForeignAddressError, ForeignAccountError, SharedAccountError)
