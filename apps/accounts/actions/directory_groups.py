"""What a directory does to groups, and the roles that staff let groups give."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from uuid import UUID

from django.utils import timezone

from apps.accounts.actions.directory import settle_roles
from apps.accounts.directory import (
    MEMBERS_MOST,
    BadValueError,
    Group,
    GroupChange,
    NotUniqueError,
    UnknownEntryError,
)
from apps.accounts.models import DirectoryGroup, DirectoryMember, DirectoryUser
from apps.accounts.roles import GIVEN
from apps.audits import trail
from apps.audits.acts import Act, Outcome
from apps.audits.chain import Value
from apps.core.actors import Actor
from apps.core.errors import InvalidInputError
from apps.core.tenancy import current_scope

BATCH = 500  # rows in one statement


def create_directory_group(
    *, actor: Actor, group: Group, now: datetime | None = None
) -> DirectoryGroup:
    """Make a group with its members. It gives no role until staff say so."""
    now = now or timezone.now()
    _check_free(group.name)
    row: DirectoryGroup = DirectoryGroup.objects.create(
        organisation_id=current_scope().tenant_id,
        name=group.name,
        external_id=group.external_id,
        created_at=now,
        changed_at=now,
    )
    _add(row, group.members)
    _record(actor, row, change="created", added=len(group.members))
    return row


def change_directory_group(
    *, actor: Actor, group_id: UUID, change: GroupChange, now: datetime | None = None
) -> DirectoryGroup:
    """Replace a group by what `change` makes of it; the roles of who came and went follow."""
    row = _locked(group_id)
    before = Group(name=row.name, external_id=row.external_id, members=_members_of(row))
    wanted = change(before)
    if wanted == before:
        return row
    if wanted.name.casefold() != before.name.casefold():
        _check_free(wanted.name)
    row.name, row.external_id = wanted.name, wanted.external_id
    row.changed_at = now or timezone.now()
    row.save(update_fields=["name", "external_id", "changed_at"])
    added, removed = wanted.members - before.members, before.members - wanted.members
    _add(row, added, present=len(before.members) - len(removed))
    for batch in _batches(removed):
        DirectoryMember.objects.filter(group=row, person__in=batch).delete()
    settled = (
        settle_roles(actor, row.organisation_id, added | removed) if row.role else 0
    )
    _record(
        actor,
        row,
        change="changed",
        added=len(added),
        removed=len(removed),
        roles_changed=settled,
        renamed=wanted.name != before.name,
    )
    return row


def remove_directory_group(*, actor: Actor, group_id: UUID) -> None:
    """Take a group away; who had a role from it gets the one that is left."""
    row = _locked(group_id)
    members = _members_of(row)
    DirectoryGroup.objects.filter(pk=row.pk).delete()
    settled = settle_roles(actor, row.organisation_id, members) if row.role else 0
    _record(actor, row, change="deleted", removed=len(members), roles_changed=settled)


def set_group_role(*, actor: Actor, group: DirectoryGroup, role: str) -> None:
    """Let a group give its members a role, or none; never owner."""
    if role and role not in GIVEN:
        raise InvalidInputError(
            f"A group cannot give the role {role!r}.",
            field="role",
            fix="Use admin, member or viewer, or leave it empty.",
        )
    row = _locked(group.pk)
    if row.role == role:
        return
    before, row.role = row.role, role
    row.save(update_fields=["role"])
    settled = settle_roles(actor, row.organisation_id, _members_of(row))
    _record(
        actor,
        row,
        change="role",
        role_before=before,
        role_after=role,
        roles_changed=settled,
    )


def _locked(group_id: UUID) -> DirectoryGroup:
    row: DirectoryGroup | None = (
        DirectoryGroup.objects.select_for_update().filter(pk=group_id).first()
    )
    if row is None:
        raise UnknownEntryError("There is no such group here.")
    return row


def _check_free(name: str) -> None:
    if DirectoryGroup.objects.filter(name__iexact=name).exists():
        raise NotUniqueError("There is a group with this displayName already.")


def _members_of(row: DirectoryGroup) -> frozenset[UUID]:
    return frozenset(
        DirectoryMember.objects.filter(group=row).values_list("person", flat=True)
    )


def _add(row: DirectoryGroup, people: frozenset[UUID], *, present: int = 0) -> None:
    """Put people in; refuses ids that are not here, whether absent or another organisation's."""
    if present + len(people) > MEMBERS_MOST:
        raise BadValueError(
            f"A group may have {MEMBERS_MOST:,} members.",
            field="members",
            fix="Split the group.",
        )
    for batch in _batches(people):
        known = DirectoryUser.objects.filter(pk__in=batch).count()
        if known != len(batch):
            raise BadValueError(
                "A member is no user of this directory; groups inside groups are not supported.",
                field="members",
                fix="Assign the person first, and push the group then.",
            )
        DirectoryMember.objects.bulk_create(
            [
                DirectoryMember(
                    organisation_id=row.organisation_id, group=row, person_id=person
                )
                for person in batch
            ]
        )


def _batches(ids: Iterable[UUID]) -> Iterable[list[UUID]]:
    ordered = sorted(ids)
    for start in range(0, len(ordered), BATCH):
        yield ordered[start : start + BATCH]


def _record(actor: Actor, row: DirectoryGroup, **details: Value) -> None:
    trail.record(
        Act.DIRECTORY_CHANGED,
        actor=actor,
        organisation_id=row.organisation_id,
        target=f"directory_group:{row.pk}",
        group=row.name,
        outcome=Outcome.DONE,
        **details,
    )
