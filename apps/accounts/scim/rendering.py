"""Rows as SCIM resources, with their addresses. What is read for that: queries."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

from django.http import HttpRequest
from scim2_models import Meta, Reference, Resource

from apps.accounts.actions.directory import described as as_person
from apps.accounts.models import DirectoryGroup, DirectoryUser
from apps.accounts.scim import mapping, queries, schemas

ROOT = "/scim/v2"
Described = TypeVar("Described", bound=Resource[Any])
Named = Sequence[tuple[UUID, str]]


def user(request: HttpRequest, entry_id: UUID) -> schemas.User:
    """One person."""
    return users(request, [queries.user_with(entry_id)])[0]


def users(request: HttpRequest, rows: Sequence[DirectoryUser]) -> list[schemas.User]:
    """A page of people, with their groups. The rows come from `queries.users`."""
    groups_of = queries.groups_of(rows)
    return [_user(request, row, groups_of.get(row.pk, [])) for row in rows]


def group(request: HttpRequest, group_id: UUID) -> schemas.Group:
    """One group, with its members."""
    return groups(request, [queries.group_with(group_id)], with_members=True)[0]


def groups(
    request: HttpRequest, rows: Sequence[DirectoryGroup], *, with_members: bool
) -> list[schemas.Group]:
    """A page of groups."""
    members = queries.members_of(rows) if with_members else {}
    return [_group(request, row, members.get(row.pk, [])) for row in rows]


def described(request: HttpRequest, resource: Described) -> Described:
    """A part of the service's own description, with its address."""
    kind = type(resource).__name__
    place = kind if kind == "ServiceProviderConfig" else f"{kind}s/{resource.id}"
    told = resource.model_copy(deep=True)
    told.meta = Meta(resource_type=kind, location=_address(request, place))
    return told


def _user(request: HttpRequest, row: DirectoryUser, inside: Named) -> schemas.User:
    resource = mapping.user_resource(
        as_person(row, is_member=bool(getattr(row, "is_member", False)))
    )
    resource.id = str(row.pk)
    resource.groups = [
        schemas.Membership(value=str(group_id), display=name)
        for group_id, name in inside
    ] or None
    resource.meta = _meta(request, "User", row.pk, row.created_at, row.changed_at)
    return resource


def _group(request: HttpRequest, row: DirectoryGroup, inside: Named) -> schemas.Group:
    place = _address(request, "Users")
    return schemas.Group(
        id=str(row.pk),
        display_name=row.name,
        external_id=row.external_id or None,
        members=[
            schemas.GroupMember(
                value=str(person),
                ref=Reference[schemas.User](f"{place}/{person}"),
                display=name,
            )
            for person, name in inside
        ],
        meta=_meta(request, "Group", row.pk, row.created_at, row.changed_at),
    )


def _meta(
    request: HttpRequest, kind: str, row_id: UUID, made: datetime, changed: datetime
) -> Meta:
    return Meta(
        resource_type=kind,
        created=made,
        last_modified=changed,
        location=_address(request, f"{kind}s/{row_id}"),
    )


def _address(request: HttpRequest, place: str) -> str:
    return request.build_absolute_uri(f"{ROOT}/{place}")
