"""Every write of core: the flag rows. What a flag means, and for whom it is on, is told by `flags`."""

from __future__ import annotations

import logging
from uuid import UUID

from django.db import transaction

from apps.core import flags
from apps.core.actors import Actor
from apps.core.errors import InvalidInputError
from apps.core.flags import SWITCHES, WHOLE, Switch
from apps.core.models import Flag

log = logging.getLogger(__name__)
REASON_LENGTH = 300


def set_flag(
    *,
    actor: Actor,
    name: str,
    percentage: int,
    reason: str,
    organisation_id: UUID | None = None,
) -> Flag:
    """Switch a path on or off: for all, for a share of the organisations, or for one.

    This process follows on commit, the others within seconds. Raises InvalidInputError.
    """
    check_flag(name, organisation_id, percentage, reason)
    values = {
        "percentage": percentage,
        "reason": reason.strip(),
        "changed_by": actor.label[:200],
    }
    flag, _ = Flag.objects.update_or_create(
        name=name, organisation_id=organisation_id, defaults=values
    )
    _announce("set", flag, actor)
    return flag


def remove_flag(*, actor: Actor, flag: Flag) -> None:
    """Go back to what counts without this row: the row for all, or the default."""
    _announce("removed", flag, actor)
    Flag.objects.filter(pk=flag.pk).delete()


def check_flag(
    name: str, organisation_id: UUID | None, percentage: int, reason: str
) -> None:
    """Refuse what would switch nothing, or could not be explained later."""
    if name not in SWITCHES:
        known = ", ".join(SWITCHES)
        raise InvalidInputError(
            f"There is no switch {name!r}.", field="name", fix=f"Use one of: {known}."
        )
    if not 0 <= percentage <= WHOLE:
        raise InvalidInputError(
            f"The share is {percentage} %.", field="percentage", fix="Use 0 to 100."
        )
    if not reason.strip() or len(reason) > REASON_LENGTH:
        raise InvalidInputError(
            "The reason is missing or too long.",
            field="reason",
            fix=f"Say why, in at most {REASON_LENGTH} characters.",
        )
    _check_reach(Switch(name), organisation_id, percentage)


def _check_reach(switch: Switch, organisation_id: UUID | None, percentage: int) -> None:
    partial = percentage not in {0, WHOLE}
    if organisation_id is not None and partial:
        raise InvalidInputError(
            "One organisation has a path or has it not.",
            field="percentage",
            fix="Use 0 or 100.",
        )
    if SWITCHES[switch].per_organisation:
        return
    if organisation_id is not None:
        raise InvalidInputError(
            f"{switch.value!r} is one path for the whole installation.",
            field="organisation_id",
            fix="Leave the organisation out.",
        )
    if partial:
        raise InvalidInputError(
            f"{switch.value!r} is one path for the whole installation.",
            field="percentage",
            fix="Use 0 or 100.",
        )


def _announce(done: str, flag: Flag, actor: Actor) -> None:
    log.warning(
        "the flag %s was %s",
        flag,
        done,
        extra={
            "action": f"flags.{done}",
            "flag": flag.name,
            "organisation": str(flag.organisation_id or ""),
            "by": actor.label,
        },
    )
    transaction.on_commit(flags.refresh, robust=True)
