"""Who belongs to an organisation, and as what.

Locks, in this order (a sign-in takes them so too): the person's identities and account, their
membership, the organisation (only where an owner goes), the trail's head.
"""

from __future__ import annotations

from uuid import UUID

from django.db import transaction
from django.utils import timezone

from apps.accounts.errors import LastOwnerError
from apps.accounts.events import AccessEnded, EndOfAccess, MembershipChanged
from apps.accounts.models import Identity, Membership, Organisation, Token, User
from apps.audits import trail
from apps.audits.acts import Act
from apps.core.actors import Actor
from apps.core.errors import InvalidInputError, NotFoundError
from apps.core.events import publish


@transaction.atomic
def add_member(
    *, actor: Actor, organisation: Organisation, user: User, role: str
) -> Membership:
    """Give a person a place in an organisation; an existing place keeps its role.

    Who was removed and is added again may sign in again. A suspension by hand stays.
    """
    _check_role(role)
    membership: Membership
    membership, created = Membership.objects.get_or_create(
        organisation=organisation, user=user, defaults={"role": role}
    )
    if not created:
        return membership
    Identity.objects.filter(
        organisation=organisation, user=user, reason=Identity.Reason.REMOVED
    ).update(status=Identity.Status.ACTIVE, reason="")
    _announce(membership, role)
    trail.record(
        Act.MEMBER_ADDED,
        actor=actor,
        organisation_id=organisation.pk,
        target=f"user:{user.pk}",
        person=user.email,
        role=role,
    )
    return membership


@transaction.atomic
def change_role(*, actor: Actor, membership: Membership, role: str) -> None:
    """Give a member another role. The last owner stays one."""
    _check_role(role)
    row = _locked(membership)
    before = row.role
    if before == role:
        return
    if before == Membership.Role.OWNER:
        keep_an_owner(row.organisation_id, without=row.user_id)
    Membership.objects.filter(pk=row.pk).update(role=role)
    _announce(row, role)
    trail.record(
        Act.ROLE_CHANGED,
        actor=actor,
        organisation_id=row.organisation_id,
        target=f"user:{row.user_id}",
        person=row.user.email,
        role={"before": before, "after": role},
    )


@transaction.atomic
def remove_member(*, actor: Actor, membership: Membership) -> None:
    """End a membership, the tokens that spoke for it, and the ways of signing in that would renew it."""
    place = {
        "organisation_id": membership.organisation_id,
        "user_id": membership.user_id,
    }
    active = Identity.objects.filter(**place, status=Identity.Status.ACTIVE)
    list(active.select_for_update().values_list("pk", flat=True))
    row = _locked(membership)
    if row.role == Membership.Role.OWNER:
        keep_an_owner(row.organisation_id, without=row.user_id)
    Token.objects.filter(**place, revoked_at__isnull=True).update(
        revoked_at=timezone.now()
    )
    # Asked anew under the lock: a first sign-in may have linked one meanwhile.
    active.update(status=Identity.Status.SUSPENDED, reason=Identity.Reason.REMOVED)
    Membership.objects.filter(pk=row.pk).delete()
    _announce(row, None)
    publish(AccessEnded(**place, why=EndOfAccess.MEMBERSHIP_ENDED))
    trail.record(
        Act.MEMBER_REMOVED,
        actor=actor,
        organisation_id=row.organisation_id,
        target=f"user:{row.user_id}",
        person=row.user.email,
        role=row.role,
    )


def keep_an_owner(organisation_id: UUID, *, without: UUID) -> None:
    """Refuse to take the last owner who can act. Call it in a transaction, before the change.

    The organisation's row is locked, so that of two owners who go at once one stays.
    """
    organisation = (
        Organisation.objects.select_for_update(no_key=True)
        .filter(pk=organisation_id)
        .get()
    )
    others = Membership.objects.filter(
        organisation_id=organisation_id,
        role=Membership.Role.OWNER,
        user__is_active=True,
    ).exclude(user_id=without)
    if not others.exists():
        raise LastOwnerError(
            f"{organisation.name} would be left without an owner.",
            values={"organisation": organisation.slug},
        )


def _locked(membership: Membership) -> Membership:
    row: Membership | None = (
        Membership.objects.select_related("user")
        .select_for_update(of=("self",))
        .filter(pk=membership.pk)
        .first()
    )
    if row is None:
        raise NotFoundError("This membership has ended already.")
    return row


def _check_role(role: str) -> None:
    if role not in Membership.Role.values:
        raise InvalidInputError(
            f"{role!r} is not a role.",
            field="role",
            fix="Use owner, admin, member or viewer.",
        )


def _announce(membership: Membership, role: str | None) -> None:
    publish(
        MembershipChanged(
            organisation_id=membership.organisation_id,
            user_id=membership.user_id,
            role=role,
        )
    )
