"""Which role a provider's claims give: values from a claim, a map, the highest counts. Pure.

No claim makes an owner: owners are made by owners and by staff.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

RANKS = ("viewer", "member", "admin", "owner")
GIVEN = frozenset(
    {"viewer", "member", "admin"}
)  # what a provider or directory may give
VALUES_READ = 2_000  # of one claim; a provider that lists more is cut there
MAP_MOST = 200
_NAMES = ("value", "name", "display", "displayName", "id")


class RoleFrom(StrEnum):
    """What gives a role."""

    MAP = "map"  # a value of the provider's claim
    DEFAULT = "default"  # no value is mapped
    DIRECTORY = "directory"  # a group of the directory gives more
    OWNER = "owner"  # owners are made by hand and stay
    KEPT = "kept"  # the provider gives no roles to who has one


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleGiven:
    """A role, and what gives it."""

    role: str
    by: RoleFrom
    value: str = ""  # of the claim


def highest(roles: Iterable[str]) -> str | None:
    """The highest of some roles; none for none. Unknown ones do not count."""
    known = [role for role in roles if role in RANKS]
    return max(known, key=RANKS.index, default=None)


def claim_values(claims: Mapping[str, object], name: str) -> frozenset[str]:
    """The values of a claim, whatever its form: a text, a list, objects with a name, or a path.

    `realm_access.roles` is first looked for as a name of its own, then as a path.
    """
    if not name:
        return frozenset()
    found: object = claims[name] if name in claims else _at(claims, name.split("."))
    return frozenset(_texts(found, [VALUES_READ]))


def mapped_role(values: Iterable[str], role_map: Mapping[str, object]) -> str | None:
    """The highest role that these values are mapped to; never owner."""
    given = (role_map.get(value) for value in values)
    return highest(role for role in given if isinstance(role, str) and role in GIVEN)


def role_told(
    values: Iterable[str], role_map: Mapping[str, object], default: str
) -> RoleGiven:
    """The role that these values give: the highest mapped one, else the default."""
    told = sorted(values)
    role = mapped_role(told, role_map)
    if role is None:
        return RoleGiven(role=default, by=RoleFrom.DEFAULT)
    value = next(value for value in told if role_map.get(value) == role)
    return RoleGiven(role=role, by=RoleFrom.MAP, value=value)


def map_problem(role_map: object) -> str:
    """What is wrong with a role map, in a sentence; empty when nothing is."""
    if not isinstance(role_map, dict):
        return 'Write it as {"value of the claim": "role"}.'
    if len(role_map) > MAP_MOST:
        return f"At most {MAP_MOST} values can be mapped."
    for value, role in role_map.items():
        if not isinstance(value, str) or not value.strip():
            return "A value of the claim is empty."
        if not isinstance(role, str) or role not in GIVEN:
            return f"{value!r} is mapped to {role!r}; use viewer, member or admin."
    return ""


def _at(claims: object, path: list[str]) -> object:
    found = claims
    for part in path:
        if not isinstance(found, Mapping):
            return None
        found = found.get(part)
    return found


def _texts(found: object, left: list[int]) -> Iterable[str]:
    """The texts in a value; `left` counts down how many more are read."""
    if left[0] <= 0:
        return
    left[0] -= 1
    if isinstance(found, str):
        yield found  # whole: 'my admins' is not 'admins'
    elif isinstance(found, Mapping):
        named = [str(found[n]) for n in _NAMES if isinstance(found.get(n), str)]
        # Some providers list roles as names of an object: {"admins": {…}}, not {"admins": false}.
        yield from named or (str(key) for key, value in found.items() if value)
    elif isinstance(found, list | tuple):
        for item in found:
            yield from _texts(item, left)
