"""What ops writes: the groups that carry the roles of staff, whose consent support needs, and flags.

`core` owns the rows of flags but lies below the trail, so both are joined here.
"""

from __future__ import annotations

from uuid import UUID

from django.contrib.auth.models import Group, Permission
from django.db import transaction

from apps.accounts.actions import change_organisation
from apps.accounts.models import Organisation
from apps.audits import trail
from apps.audits.acts import Act
from apps.audits.models import AccessGrant
from apps.core import actions as core
from apps.core.actors import Actor
from apps.core.models import Flag
from apps.ops.groups import ROLES


def ensure_groups() -> None:
    """Make the groups that are missing, and give each exactly the permissions of its role."""
    known = {
        f"{permission.content_type.app_label}.{permission.codename}": permission
        for permission in Permission.objects.select_related("content_type")
    }
    for name, wanted in ROLES.items():
        group, _ = Group.objects.get_or_create(name=name)
        group.permissions.set([known[each] for each in sorted(wanted) if each in known])


@transaction.atomic
def choose_consent(
    *, actor: Actor, organisation_id: UUID, consent: AccessGrant.Consent
) -> None:
    """Say whose consent support needs to read content of an organisation, on record."""
    rows = Organisation.objects.select_for_update(no_key=True)
    row = rows.get(pk=organisation_id)
    row.grants_need_consent = consent is AccessGrant.Consent.CUSTOMER
    change_organisation(actor=actor, organisation=row)


@transaction.atomic
def set_flag(
    *,
    actor: Actor,
    name: str,
    percentage: int,
    reason: str,
    organisation_id: UUID | None = None,
) -> Flag:
    """Switch a path on or off (see core.actions.set_flag), on record."""
    before = Flag.objects.filter(name=name, organisation_id=organisation_id).first()
    flag = core.set_flag(
        actor=actor,
        name=name,
        percentage=percentage,
        reason=reason,
        organisation_id=organisation_id,
    )
    _record(actor, flag, before=before, after=percentage, reason=flag.reason)
    return flag


@transaction.atomic
def remove_flag(*, actor: Actor, flag: Flag) -> None:
    """Go back to what counts without this row, on record."""
    row = Flag.objects.get(pk=flag.pk)
    core.remove_flag(actor=actor, flag=row)
    _record(actor, row, before=row, after=None, reason="removed")


def _record(
    actor: Actor, flag: Flag, *, before: Flag | None, after: int | None, reason: str
) -> None:
    trail.record(
        Act.SETTING_CHANGED,
        actor=actor,
        organisation_id=flag.organisation_id,
        target=f"flag:{flag.name}",
        setting="flag",
        before=before.percentage if before else None,
        after=after,
        reason=reason,
    )
