"""One isolation audit from beginning to end: plant two canaries, try every surface, judge, clean up."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator
from functools import partial
from uuid import UUID

from django.apps import apps
from django.db import models

from apps.audits.isolation import actions, links, rows
from apps.audits.isolation.asking import Asker, absent_ids
from apps.audits.isolation.judging import Check, Judged, Outcome
from apps.audits.isolation.routes import Field, try_route
from apps.audits.models import IsolationAudit
from apps.audits.trail import PLATFORM
from apps.core import canaries, surfaces
from apps.core.actors import Actor
from apps.core.database import write_now
from apps.core.surfaces import Call, Canary, Rows, Surface
from apps.core.tenancy import tenant

MARKER_BYTES = 12
Watch = Callable[[int, int, str], None]


HEARD_EVERY = 20.0  # seconds between two signs of life
OWN = tenant(PLATFORM)  # audits are the platform's own


def conduct(
    *, actor: Actor, trigger: str, watch: Watch | None = None
) -> IsolationAudit:
    """Audit this installation and keep what was proved. Raises AuditRunningError for a second at once."""
    begin = partial(actions.begin, actor=actor, trigger=trigger)
    audit_id: UUID = write_now(OWN, begin)
    heard = time.monotonic()

    def watched(done: int, whole: int, name: str) -> None:
        nonlocal heard
        if time.monotonic() - heard > HEARD_EVERY:
            heard = time.monotonic()
            write_now(OWN, partial(actions.note_alive, audit_id))
        if watch is not None:
            watch(done, whole, name)

    try:
        probes = run(watch=watched)
        end = partial(actions.end, actor=actor, audit_id=audit_id, probes=probes)
        write_now(OWN, end)
    except BaseException:
        write_now(OWN, partial(actions.interrupt, audit_id))
        raise
    with OWN:
        audit: IsolationAudit = IsolationAudit.objects.get(pk=audit_id)
    return audit


def run(*, watch: Watch | None = None) -> list[Judged]:
    """Try every surface. Writes to the canary organisations only; call it outside any scope."""
    surfaces.load()
    probes: list[Judged] = []
    ids = [canaries.organisation_of(slug) for slug in canaries.SLUGS]
    with canaries.admitting(ids):
        try:
            first, second = (planted(slug) for slug in canaries.SLUGS)
            Asker().warm_up()
            todo = surfaces.registered()
            for done, surface in enumerate(todo):
                if watch is not None:
                    watch(done, len(todo), surface.name)
                probes.extend(tried(surface, first, second))
            tables = [surface for surface in todo if isinstance(surface, Rows)]
            probes.extend(links.try_policies(tables))
            probes.extend(_undeclared())
        finally:
            for slug in canaries.SLUGS:
                withdraw(slug)
    return probes


def planted(slug: str) -> Canary:
    """A canary organisation with new markers and tokens, planted by every app in its turn."""
    canary = Canary(
        organisation_id=canaries.organisation_of(slug),
        slug=slug,
        marker=f"{slug}-{secrets.token_hex(MARKER_BYTES)}",
    )
    for planter in surfaces.planters():
        write_now(tenant(canary.organisation_id), partial(planter, canary))
    return canary


def withdraw(slug: str) -> None:
    for withdraw in surfaces.withdrawals():
        organisation_id = canaries.organisation_of(slug)
        write_now(tenant(organisation_id), partial(withdraw, organisation_id))


def tried(surface: Surface, first: Canary, second: Canary) -> Iterator[Judged]:
    """Both ways: a hole may be on one side only."""
    for mine, other in ((first, second), (second, first)):
        if isinstance(surface, Rows):
            yield from rows.try_rows(surface, mine, other)
        elif isinstance(surface, Call):
            yield from rows.try_call(surface, mine, other, absent_ids(other.ids))
        else:
            yield from try_route(surface, _field(mine, other))
    if isinstance(surface, Rows) and not surface.shared:
        yield from links.try_links(surface)


def _field(mine: Canary, other: Canary) -> Field:
    state = partial(rows.fingerprint, other, _planted_models())
    return Field(Asker(), mine, other, absent_ids(other.ids), state)


# What a request of the canary's own people may change by itself: last uses, and what was refused.
RESTLESS = {"audits.Receipt", "audits.Entry", "audits.Head", "audits.Checkpoint"}
RESTLESS |= {"accounts.Token", "accounts.ScimToken"}


def _planted_models() -> list[type[models.Model]]:
    return [
        apps.get_model(surface.label)
        for surface in surfaces.registered()
        if isinstance(surface, Rows)
        and not surface.shared
        and surface.label not in RESTLESS
    ]


def _undeclared() -> Iterator[Judged]:
    """Doors that are there and were not declared: what nobody tried proves nothing."""
    for kind, name in surfaces.undeclared():
        yield Judged(
            kind=kind,
            surface=name,
            check=Check.DECLARED,
            outcome=Outcome.INCONCLUSIVE,
            request=name,
            expected="a declaration",
            got="none: it was not tried",
        )
