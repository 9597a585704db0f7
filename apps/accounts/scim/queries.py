"""Reads of the directory in the open organisation: one entry, or a page of those that match."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar
from uuid import UUID

from django.db.models import Count, Exists, OuterRef, Q, QuerySet

from apps.accounts.directory import UnknownEntryError
from apps.accounts.models import (
    DirectoryGroup,
    DirectoryMember,
    DirectoryUser,
    Membership,
)
from apps.accounts.scim.filters import Conditions
from apps.accounts.scim.schemas import PAGE_MOST, PAGE_USUAL

MEMBERS_A_PAGE = 20_000  # of all groups, or people, of one page together

Row = TypeVar("Row", DirectoryUser, DirectoryGroup)
Members = dict[UUID, list[tuple[UUID, str]]]


@dataclass(frozen=True, slots=True)
class Window:
    """Which part of a list is wanted, as RFC 7644 (3.4.2.4) counts: from 1."""

    start: int = 1
    count: int = PAGE_USUAL

    @classmethod
    def of(cls, start: int | None, count: int | None) -> Window:
        wanted = PAGE_USUAL if count is None else count
        return cls(max(1, start or 1), min(PAGE_MOST, max(0, wanted)))

    @property
    def span(self) -> slice:
        return slice(self.start - 1, self.start - 1 + self.count)


def users(conditions: Conditions) -> QuerySet[DirectoryUser]:
    """The entries of people that match all conditions."""
    rows: QuerySet[DirectoryUser] = DirectoryUser.objects.annotate(
        is_member=Exists(
            Membership.objects.filter(
                organisation=OuterRef("organisation"), user=OuterRef("user")
            )
        )
    )
    for name, value in conditions:
        rows = rows.filter(_of_user(name, value))
    return rows


def groups(conditions: Conditions) -> QuerySet[DirectoryGroup]:
    """The groups that match all conditions."""
    rows: QuerySet[DirectoryGroup] = DirectoryGroup.objects.all()
    for name, value in conditions:
        rows = rows.filter(_of_group(name, value))
    return rows


def user_with(entry_id: UUID) -> DirectoryUser:
    """One entry; absent and foreign ones look the same."""
    row = users(()).filter(pk=entry_id).first()
    if row is None:
        raise UnknownEntryError("There is no such user here.")
    return row


def group_with(group_id: UUID) -> DirectoryGroup:
    """One group; absent and foreign ones look the same."""
    row = groups(()).filter(pk=group_id).first()
    if row is None:
        raise UnknownEntryError("There is no such group here.")
    return row


def groups_of(entries: Iterable[DirectoryUser]) -> Members:
    """For each person the groups, with their names."""
    found: Members = defaultdict(list)
    rows = DirectoryMember.objects.filter(person__in=[e.pk for e in entries])
    for person, group, name in rows.order_by("group__name").values_list(
        "person", "group", "group__name"
    ):
        found[person].append((group, name))
    return found


def members_of(rows: Iterable[DirectoryGroup]) -> Members:
    """For each group the people, with their names."""
    found: Members = defaultdict(list)
    members = DirectoryMember.objects.filter(group__in=[row.pk for row in rows])
    for group, person, name in members.order_by("person__user_name").values_list(
        "group", "person", "person__user_name"
    ):
        found[group].append((person, name))
    return found


def within_bounds(rows: Sequence[Row], *, by: Literal["group", "person"]) -> list[Row]:
    """The first of these, so many that an answer with all their members, or groups, stays bounded."""
    sizes = dict(
        DirectoryMember.objects.filter(**{f"{by}__in": [row.pk for row in rows]})
        .values_list(by)
        .annotate(Count("id"))
    )
    taken: list[Row] = []
    together = 0
    for row in rows:
        together += sizes.get(row.pk, 0)
        if taken and together > MEMBERS_A_PAGE:
            break
        taken.append(row)
    return taken


def _of_user(name: str, value: str) -> Q:
    lower = value.strip().lower()
    if name == "id":
        return _id(value, "pk")
    if name == "username":
        return Q(user_name=lower)
    if name == "emails":
        return Q(email=lower) | Q(email="", user_name=lower)
    return (
        Q(external_id=value) if name == "externalid" else Q(display_name__iexact=value)
    )


def _of_group(name: str, value: str) -> Q:
    if name == "id":
        return _id(value, "pk")
    if name == "members":
        return _id(value, "members__person")
    return Q(external_id=value) if name == "externalid" else Q(name__iexact=value)


def _id(value: str, column: str) -> Q:
    try:
        return Q(**{column: UUID(value)})
    except ValueError:
        return Q(pk__in=[])
