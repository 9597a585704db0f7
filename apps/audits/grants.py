"""Every write of support's grants, and the one way to a scope in which staff read content.

Who may ask, decide or review by role is settled at the doors; which rows a reading shows, by ops.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from apps.audits import trail
from apps.audits.acts import Act, Outcome
from apps.audits.models import AccessGrant
from apps.audits.readings import Subject, asked, open_for
from apps.core import clock
from apps.core.actors import Actor, ActorKind
from apps.core.content import ContentClosedError
from apps.core.errors import (
    ConflictError,
    InvalidInputError,
    NetraError,
    NotAllowedError,
    NotFoundError,
)
from apps.core.ids import rising_id
from apps.core.tenancy import Opening, Scope, staff

Consent, Stand = AccessGrant.Consent, AccessGrant.Stand
EXPLANATION = range(20, 2001)  # characters
MINUTES = range(1, 241)
TICKET = 100
NOTE = range(5, 2001)
WAITING = 10  # requests of one person that nobody has answered yet
LISTED_IDS = 500  # of one reading


class GrantStandsError(ConflictError):
    """The grant does not stand as it did."""

    code = "grant_stands_otherwise"


class SamePersonError(NotAllowedError):
    """Who asked may not answer."""

    code = "grant_needs_another_person"
    fix = "Ask a second person."


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What somebody of support asks to read, and why."""

    organisation_id: UUID
    reach: AccessGrant.Reach
    reach_id: UUID | None
    reason: AccessGrant.Reason
    explanation: str
    ticket: str
    minutes: int


# -- asking and answering ------------------------------------------------------------------


def ask(*, actor: Actor, wish: Wish, consent: AccessGrant.Consent) -> AccessGrant:
    """Ask to read content. `consent` says whose answer the organisation demands."""
    explanation, ticket = _visible(wish.explanation), _visible(wish.ticket)
    _check(explanation, ticket, wish.minutes)
    assert actor.kind is ActorKind.STAFF, "only staff ask"
    assert actor.id is not None, "staff have ids"
    now = clock.now()
    waiting = asked(now).filter(staff_id=actor.id)
    if waiting.count() >= WAITING:
        raise ConflictError(
            f"{WAITING} of your requests wait for an answer.",
            fix="Withdraw those that you no longer need.",
        )
    row: AccessGrant = AccessGrant.objects.create(
        id=rising_id(),
        organisation_id=wish.organisation_id,
        staff_id=actor.id,
        staff_label=actor.label,
        reach=wish.reach,
        reach_id=wish.reach_id,
        reason=wish.reason,
        explanation=explanation,
        ticket=ticket,
        consent=consent,
        minutes=wish.minutes,
        requested_at=now,
    )
    _seal(
        Act.GRANT_REQUESTED,
        actor,
        row,
        reach=_reach(row),
        reason=row.reason,
        ticket=row.ticket,
        minutes=row.minutes,
        consent=row.consent,
    )
    return row


def approve(
    *, actor: Actor, grant_id: UUID, consent: AccessGrant.Consent
) -> AccessGrant:
    """Open it, from now for the time that was asked for.

    `consent` is what the organisation demands today: the stricter of that and what it demanded
    when it was asked counts.
    """
    row, now = _waiting(actor, grant_id)
    by_customer = Consent.CUSTOMER in {row.consent, consent}
    if by_customer and actor.kind is not ActorKind.USER:
        raise NotAllowedError(
            "An owner of the organisation decides about this.",
            fix="Wait until an owner answers on their page of support access.",
        )
    if not by_customer and actor.kind is not ActorKind.STAFF:
        raise NotAllowedError(
            "A second person of support decides about this.",
            fix="Refuse it if it should not be. That support asks you is switched on on the same page.",
        )
    expires = now + timedelta(minutes=row.minutes)
    _write(
        row,
        decided_by=actor.id,
        decided_label=actor.label,
        approved_at=now,
        expires_at=expires,
    )
    _seal(Act.GRANT_APPROVED, actor, row, staff=row.staff_label, minutes=row.minutes)
    return row


def refuse(*, actor: Actor, grant_id: UUID) -> AccessGrant:
    """Say no. An owner may refuse whatever is asked of their organisation."""
    row, now = _waiting(actor, grant_id)
    _write(row, decided_by=actor.id, decided_label=actor.label, refused_at=now)
    _seal(Act.GRANT_REFUSED, actor, row, staff=row.staff_label)
    return row


def end(*, actor: Actor, grant_id: UUID) -> AccessGrant:
    """Close it before its time, or withdraw a request."""
    now = clock.now()
    row = _locked(grant_id)
    if row.stand(now) not in {Stand.ASKED, Stand.OPEN}:
        raise GrantStandsError("It is over already.")
    if row.stand(now) is Stand.ASKED and actor.id != row.staff_id:
        raise NotAllowedError(
            "Only who asked may withdraw a request.", fix="Refuse it instead."
        )
    _write(row, ended_at=now)
    _seal(Act.GRANT_ENDED, actor, row, staff=row.staff_label)
    return row


def review(*, actor: Actor, grant_id: UUID, note: str) -> AccessGrant:
    """Another person looked at what was read under it, and says so."""
    now = clock.now()
    row = _locked(grant_id)
    if not row.wants_review(now):
        raise GrantStandsError("There is nothing to review, or it was reviewed.")
    if actor.id == row.staff_id:
        raise SamePersonError("Nobody reviews their own reading.")
    note = _visible(note)
    if len(note) not in NOTE:
        raise InvalidInputError(
            "The note is missing or too long.",
            field="note",
            fix=f"Say what you looked at, in {NOTE[0]} to {NOTE[-1]:,} characters.",
        )
    _write(row, reviewed_by=actor.id, reviewed_at=now, review=note)
    _seal(Act.GRANT_REVIEWED, actor, row, staff=row.staff_label)
    return row


def record_refusal(
    act: Act, error: NetraError, *, actor: Actor, organisation_id: UUID, target: str
) -> None:
    """Put on record that somebody was not let. In a unit of its own, after the roll-back."""
    trail.record(
        act,
        actor=actor,
        organisation_id=organisation_id,
        target=target,
        outcome=Outcome.REFUSED,
        code=error.code,
    )


# -- reading -------------------------------------------------------------------------------


def begin_reading(
    *, actor: Actor, subject: Subject, fields: Sequence[str], ids: Sequence[UUID] = ()
) -> Scope:
    """Put on record who reads what, and return the scope in which that can be read.

    The entry must be committed before anything is shown: run this as a unit of its own. Raises
    ContentClosedError where no live grant of that person reaches the record.
    """
    assert actor.id is not None, "staff have ids"
    assert len(ids) <= LISTED_IDS, "a page shows fewer"
    now = clock.now()
    row = open_for(actor.id, subject, now=now)
    if row is None:
        raise ContentClosedError
    trail.record(
        Act.CONTENT_READ,
        actor=actor,
        organisation_id=row.organisation_id,
        target=str(subject),
        grant=str(row.pk),
        fields=list(fields),
        ids=[str(each) for each in ids],
    )
    assert row.expires_at is not None, "approved grants expire"
    opening = Opening(
        grant_id=row.pk,
        organisation_id=row.organisation_id,
        reach=row.reach,
        reach_id=row.reach_id,
        until=row.expires_at,
    )
    return staff(actor.id, grant=opening)


# -- inside --------------------------------------------------------------------------------


def _visible(text: str) -> str:
    """Without what nobody sees, so that no reason looks empty or turns the words round it."""
    signs = (s for s in text if s in "\n\t" or unicodedata.category(s)[0] != "C")
    return "".join(signs).strip()


def _check(explanation: str, ticket: str, minutes: int) -> None:
    if len(explanation) not in EXPLANATION:
        raise InvalidInputError(
            "The explanation is too short or too long.",
            field="explanation",
            fix=f"Say why you must read it, in {EXPLANATION[0]} to {EXPLANATION[-1]:,} characters.",
        )
    if not ticket or len(ticket) > TICKET:
        raise InvalidInputError(
            "There is no ticket.", field="ticket", fix="Name a ticket or an issue."
        )
    if minutes not in MINUTES:
        raise InvalidInputError(
            f"{minutes} minutes cannot be asked for.",
            field="minutes",
            fix=f"Ask for {MINUTES[0]} to {MINUTES[-1]} minutes.",
        )


def _locked(grant_id: UUID) -> AccessGrant:
    rows = AccessGrant.objects.select_for_update()
    row: AccessGrant | None = rows.filter(pk=grant_id).first()
    if row is None:
        raise NotFoundError("There is no such grant.", field="grant_id")
    return row


def _waiting(actor: Actor, grant_id: UUID) -> tuple[AccessGrant, datetime]:
    """A request that still waits, to be answered by another person than who asked."""
    now = clock.now()
    row = _locked(grant_id)
    if row.stand(now) is not Stand.ASKED:
        raise GrantStandsError(f"It was answered, or is over: {row.stand(now).label}.")
    if actor.id == row.staff_id:
        raise SamePersonError
    return row, now


def _write(row: AccessGrant, **values: object) -> None:
    for name, value in values.items():
        setattr(row, name, value)
    row.save(update_fields=list(values))


def _seal(act: Act, actor: Actor, row: AccessGrant, **details: str | int) -> None:
    trail.record(
        act,
        actor=actor,
        organisation_id=row.organisation_id,
        target=f"grant:{row.pk}",
        outcome=Outcome.DONE,
        **details,
    )


def _reach(row: AccessGrant) -> str:
    return f"{row.reach}:{row.reach_id}" if row.reach_id else row.reach
