"""Which of the switchable paths are on, for whom: a snapshot of the flag rows that costs no query.

Changing a flag belongs to `core.actions`; what a path does when it is off, to the path itself.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from uuid import UUID

from django.apps import apps
from django.db import Error

log = logging.getLogger(__name__)

REFRESH_SECONDS = 2.0
WHOLE = 100


class Switch(StrEnum):
    """A path of the product that can be switched off while everything runs."""

    FAIRNESS = "fairness"
    CONCURRENCY_LIMITS = "concurrency-limits"
    INTERRUPT = "interrupt"
    BREAKERS = "breakers"
    GROUP_COMMIT = "group-commit"
    STEP_LEDGER = "step-ledger"
    DELIVERY_LEDGER = "delivery-ledger"
    RETRIES = "retries"
    SELF_FENCE = "self-fence"
    RETENTION = "retention"


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What staff should know before they touch a switch."""

    on: str
    off: str
    default: bool = True
    per_organisation: bool = True  # else it is one path for the whole installation


SWITCHES: Mapping[Switch, Facts] = {
    Switch.FAIRNESS: Facts(
        on="Waiting executions are claimed in turn between organisations.",
        off="The oldest waiting execution is claimed first, whoever it belongs to.",
        per_organisation=False,
    ),
    Switch.CONCURRENCY_LIMITS: Facts(
        on="A user and an organisation have only so many executions running at once.",
        off="As many run as there are slots; one organisation may take all of them.",
    ),
    Switch.INTERRUPT: Facts(
        on="An agent set to interrupt stops its answer when the next message comes.",
        off="Such an agent lets the next message wait, as with the policy 'queue'.",
    ),
    Switch.BREAKERS: Facts(
        on="Calls to a provider that keeps failing are refused until it recovers.",
        off="Every call goes out, and no failure is counted.",
        per_organisation=False,
    ),
    Switch.GROUP_COMMIT: Facts(
        on="On SQLite, units of writing that wait at the same time share one commit.",
        off="Each unit commits alone: slower, and easier to follow.",
        per_organisation=False,
    ),
    Switch.STEP_LEDGER: Facts(
        on="Tools with effects write down each step, so that a retry skips finished ones.",
        off="Such tools run without a ledger; a retry may repeat an effect.",
    ),
    Switch.DELIVERY_LEDGER: Facts(
        on="What was sent to each connection, and acknowledged by it, is written down.",
        off="Nothing is written; what a user saw can then not be told.",
    ),
    Switch.RETRIES: Facts(
        on="An execution that failed for a passing reason is tried again by itself.",
        off="It ends with its first failure; people may still retry by hand.",
    ),
    Switch.SELF_FENCE: Facts(
        on="A process that cannot renew its leases in time stops its own work.",
        off="It goes on until the database refuses its writes.",
        per_organisation=False,
    ),
    Switch.RETENTION: Facts(
        on="Events and ledgers older than their keeping time are removed.",
        off="Nothing is removed, and the tables grow.",
    ),
}


@dataclass(frozen=True, slots=True)
class _Snapshot:
    """All rows as they were at one moment, as percentages."""

    general: Mapping[str, int]
    own: Mapping[tuple[str, UUID], int] = field(default_factory=dict)
    unknown: frozenset[str] = frozenset()


DEFAULTS = _Snapshot(
    {switch: WHOLE if facts.default else 0 for switch, facts in SWITCHES.items()}
)


class _Present:
    """The snapshot that this process goes by. Swapped whole, so readers need no lock."""

    def __init__(self) -> None:
        self.snapshot = DEFAULTS
        self.told = False  # that the rows cannot be read


_present = _Present()


def enabled(switch: Switch, organisation_id: UUID | None = None) -> bool:
    """Whether the path is on. Never asks the database: hot paths call this.

    An organisation's own row wins over the row for all. Without an organisation the path is
    on only if it is on for all of them.
    """
    snapshot = _present.snapshot
    percentage = snapshot.general[switch]
    if organisation_id is None:
        return percentage >= WHOLE
    if snapshot.own:
        percentage = snapshot.own.get((switch, organisation_id), percentage)
    if percentage >= WHOLE or percentage <= 0:
        return percentage >= WHOLE
    return bucket(switch, organisation_id) < percentage


@lru_cache(maxsize=4096)
def bucket(switch: Switch, organisation_id: UUID) -> int:
    """From 0 to 99, the same in every process and for ever; raising a percentage only adds."""
    digest = hashlib.sha256(switch.value.encode() + organisation_id.bytes).digest()
    return int.from_bytes(digest[:8], "big") % 100


def refresh() -> None:
    """Read all rows in one query and go by them; while they cannot be read, the old ones count."""
    try:
        rows = list(
            apps.get_model("core", "Flag")
            .objects.order_by()
            .values_list("name", "organisation_id", "percentage")
        )
    except Error as error:
        _tell_once(error)
        return
    _present.told = False
    _present.snapshot = _snapshot_of(rows)


def forget() -> None:
    """Go back to the defaults, as before the first refresh."""
    _present.snapshot, _present.told = DEFAULTS, False


def unknown_names() -> frozenset[str]:
    """Names in rows that switch nothing: mistyped, or of another release."""
    return _present.snapshot.unknown


def _snapshot_of(rows: Iterable[tuple[str, UUID | None, int]]) -> _Snapshot:
    general = dict(DEFAULTS.general)
    own: dict[tuple[str, UUID], int] = {}
    unknown = set()
    for name, organisation_id, percentage in rows:
        if name not in general:
            unknown.add(name)
        elif organisation_id is None:
            general[name] = percentage
        else:
            own[name, organisation_id] = percentage
    return _Snapshot(general, own, frozenset(unknown))


def _tell_once(error: Exception) -> None:
    if _present.told:
        return
    _present.told = True
    log.warning(
        "the flags cannot be read, the last known ones stay: %s",
        error,
        extra={"action": "flags.unreadable"},
    )
