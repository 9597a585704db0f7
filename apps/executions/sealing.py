"""Seals the end of an execution: one entry of the trail with the digests of its moves and events.

The same digests, computed again from the rows, prove later that nothing was changed since.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from apps.audits import trail
from apps.audits.acts import Act
from apps.audits.witnesses import Standing as Proof
from apps.audits.witnesses import Statement, Verdict
from apps.core import circumstances, sql
from apps.core.actors import Actor, ActorKind
from apps.core.circumstances import Circumstances
from apps.executions.models import Event, Execution, Stream, Transition
from apps.executions.redaction import without_words
from apps.executions.standing import Standing

MOVES = (
    "n", "from_state", "to_state", "attempt", "fence", "actor_kind", "actor_id", "actor_label",
    "reason", "at",
)  # fmt: skip
EVENTS = ("seq", "event_uid", "type", "attempt", "final", "at", "payload")
SHAPE = len(EVENTS) - 1  # all but what was said
RUNNING = Circumstances(door="runner")

Row = Sequence[Any]


def _plain(value: object) -> str:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="microseconds")
    if isinstance(value, UUID):
        return str(value)
    raise TypeError(f"{value!r} has no canonical form")


_text = json.JSONEncoder(
    sort_keys=True, separators=(",", ":"), allow_nan=False, default=_plain
).encode


@dataclass(frozen=True, slots=True)
class Digests:
    """SHA-256 over the canonical JSON of rows in their order."""

    moves: str
    events: str
    shape: str  # of the events without what was said: what is left when words were forgotten


def digests(moves: Sequence[Row], events: Sequence[Row]) -> Digests:
    """Of an execution's moves and events; the last column of an event is its payload."""
    # Few large texts: encoding each row by itself takes three times as long.
    shape = _text([row[:SHAPE] for row in events])
    payloads = _text([row[SHAPE] for row in events])
    return Digests(_sum(_text(moves)), _sum(f"{shape}\n{payloads}"), _sum(shape))


def _sum(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def seal(ended: Standing, *, actor: Actor) -> None:
    """Write the entry. Part of the unit that ends it, and last in it: the head is locked last."""
    own = {"organisation_id": ended.organisation_id, "execution_id": ended.id}
    moves = sql.select(Transition, MOVES, where=own, order="n")
    events = sql.select(Event, EVENTS, where=own, order="seq")
    sums = digests(moves, events)
    told = circumstances.present()
    # What a runner ends was not done from where the question was asked.
    with circumstances.under(RUNNING if actor.kind is ActorKind.SYSTEM else told):
        trail.record(
            Act.EXECUTION_ENDED,
            actor=actor,
            organisation_id=ended.organisation_id,
            target=f"execution:{ended.id}",
            state=ended.state.value,
            attempts=ended.attempt,
            stream=str(ended.stream_id),
            moves=len(moves),
            moves_digest=sums.moves,
            events=len(events),
            events_digest=sums.events,
            events_shape=sums.shape,
            last_event=events[-1][0] if events else 0,
        )


def note_cancel(standing: Standing, *, actor: Actor, reason: str) -> None:
    """Write that staff stopped somebody's execution; what people do to their own is in its moves."""
    if actor.kind is ActorKind.STAFF:
        trail.record(
            Act.EXECUTION_CANCELLED_BY_STAFF,
            actor=actor,
            organisation_id=standing.organisation_id,
            target=f"execution:{standing.id}",
            reason=reason[:300],
            user=str(standing.user_id),
        )


# -- and proves it -------------------------------------------------------------------


def prove(organisation_id: UUID, statements: Sequence[Statement]) -> Iterable[Verdict]:
    """Compare sealed ends with the rows as they are."""
    ids = [UUID(told.target.partition(":")[2]) for told in statements]
    own = {"organisation_id": organisation_id, "execution_id__in": ids}
    moves = _grouped(
        Transition.objects.filter(**own)
        .order_by("n")
        .values_list("execution_id", *MOVES)
    )
    events = _grouped(
        Event.objects.filter(**own).order_by("seq").values_list("execution_id", *EVENTS)
    )
    streams = {UUID(told.details["stream"]) for told in statements}
    begins = dict(
        Stream.objects.filter(
            organisation_id=organisation_id, id__in=streams
        ).values_list("id", "first_kept")
    )
    ends = _ends(organisation_id, ids)
    for own_id, told in zip(ids, statements, strict=True):
        first = begins.get(UUID(told.details["stream"]), 1)
        standing, says = _compared(told, moves[own_id], events[own_id], first)
        if standing is not Proof.BROKEN and ends.get(own_id) != _sealed_end(told):
            standing, says = Proof.BROKEN, _other_end(told, ends.get(own_id))
        yield Verdict(told.seq, standing, f"execution {own_id}: {says}" if says else "")


End = tuple[str, int]  # state and attempts


def _ends(organisation_id: UUID, ids: list[UUID]) -> dict[UUID, End]:
    rows = Execution.objects.filter(organisation_id=organisation_id, id__in=ids)
    return {
        own_id: (state, attempt)
        for own_id, state, attempt in rows.values_list("id", "state", "attempt")
    }


def _sealed_end(told: Statement) -> End:
    return told.details["state"], told.details["attempts"]


def _other_end(told: Statement, found: End | None) -> str:
    state, attempts = _sealed_end(told)
    sealed = f"{state} after attempt {attempts} was sealed"
    if found is None:
        return f"it is not there, and {sealed}"
    return f"it stands as {found[0]} in attempt {found[1]}, and {sealed}"


def _grouped(rows: Iterable[tuple[Any, ...]]) -> dict[UUID, list[Row]]:
    found: dict[UUID, list[Row]] = defaultdict(list)
    for execution_id, *row in rows:
        found[execution_id].append(row)
    return found


def _compared(
    told: Statement, moves: list[Row], events: list[Row], first_kept: int
) -> tuple[Proof, str]:
    sealed, found = told.details, digests(moves, events)
    if found.moves != sealed["moves_digest"]:
        return Proof.BROKEN, _difference("moves", len(moves), int(sealed["moves"]))
    if found.events == sealed["events_digest"]:
        return Proof.WHOLE, ""
    if not events and first_kept > int(sealed["last_event"]) > 0:
        return Proof.PRUNED, ""
    wordless = all(without_words(row[SHAPE]) == row[SHAPE] for row in events)
    if wordless and found.shape == sealed["events_shape"]:
        return Proof.FORGOTTEN, ""
    return Proof.BROKEN, _difference("events", len(events), int(sealed["events"]))


def _difference(name: str, found: int, sealed: int) -> str:
    if found != sealed:
        return f"it has {found} {name}, and {sealed} were sealed"
    return f"its {name} are not as they were sealed"
