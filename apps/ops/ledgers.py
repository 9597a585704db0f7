"""What was written down beside an execution's states, in words: steps, approvals, refused moves, its breaker.

Structure only: arguments, results and reasons come through `redaction`, as kind and size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from django.db.models import Model, QuerySet

from apps.core.content import describing
from apps.executions import sentences
from apps.executions.circuit import CircuitState
from apps.executions.models import Approval, Breaker, Execution, RefusedMove, Step
from apps.executions.redaction import Part, redacted_parts
from apps.executions.states import CLAIMED, ExecutionState

S = ExecutionState
Row = TypeVar("Row", bound=Model)
SHOWN = 100  # rows of each kind, the newest
UNKNOWN = "Nobody knows whether it happened: it began, and its attempt was cut off."
# The word on the badge, and the state of executions that looks like it.
STEPS: dict[str, tuple[str, ExecutionState]] = {
    Step.State.PLANNED: ("Planned", S.PENDING),
    Step.State.STARTED: ("At work", S.RUNNING),
    Step.State.FINISHED: ("Finished", S.COMPLETED),
    Step.State.FAILED: ("Failed", S.FAILED),
}
UNKNOWN_BADGE = ("Unknown", S.DEAD)
WHY = {
    RefusedMove.Why.ILLEGAL: "A move that is not allowed from there.",
    RefusedMove.Why.FENCED: "Too late: it had moved on, or the lease was another's.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Badge:
    """A state with the look of an execution's state."""

    words: str
    look: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ToldStep:
    """One call of a tool with an effect."""

    row: Step
    badge: Badge
    note: str
    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ToldApproval:
    """One question to a person."""

    row: Approval
    answer: str
    asked: tuple[Part, ...]
    said: tuple[Part, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ToldMove:
    """One move that was not made."""

    row: RefusedMove
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ToldBreaker:
    """The circuit breaker that had to do with it, as it stands now."""

    key: str
    badge: Badge
    sentence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledgers:
    """All of it; empty where there is nothing."""

    steps: list[ToldStep]
    approvals: list[ToldApproval]
    refused: list[ToldMove]
    breaker: ToldBreaker | None

    @property
    def asked(self) -> Approval | None:
        """What nobody has answered yet."""
        rows = [told.row for told in self.approvals if told.row.decided_at is None]
        return rows[-1] if rows else None


def ledgers_of(execution: Execution, now: datetime) -> Ledgers:
    """Three queries, and one more for an execution that a breaker stopped."""
    own = {"execution_id": execution.pk}
    with describing():
        steps = _newest(Step.objects.filter(**own).order_by("-planned_at", "-id"))
        asked = _newest(Approval.objects.filter(**own).order_by("-asked_at", "-id"))
    moves = _newest(RefusedMove.objects.filter(**own).order_by("-at", "-id"))
    return Ledgers(
        steps=[_step(row, execution) for row in steps],
        approvals=[_approval(row) for row in asked],
        refused=[ToldMove(row=row, why=WHY[RefusedMove.Why(row.why)]) for row in moves],
        breaker=_breaker(execution.breaker, now) if execution.breaker else None,
    )


def _newest(rows: QuerySet[Row]) -> Sequence[Row]:
    """The newest, in the order in which they came."""
    return list(rows[:SHOWN])[::-1]


def _step(row: Step, execution: Execution) -> ToldStep:
    words, look = STEPS[row.state]
    note = ""
    if row.state == Step.State.STARTED and not _is_at_work(row, execution):
        (words, look), note = UNKNOWN_BADGE, UNKNOWN
    if row.state == Step.State.FAILED:
        note = "The tool refused: nothing happened, and it may begin again."
    parts = () if row.result is None else redacted_parts({"result": row.result})
    _forget(row, "result")
    badge = Badge(words=words, look=look.value)
    return ToldStep(row=row, badge=badge, note=note, parts=parts)


def _is_at_work(row: Step, execution: Execution) -> bool:
    """Whether the runner that began it still holds the execution."""
    held = ExecutionState(execution.state) in CLAIMED
    return held and row.fence == execution.fence


def _approval(row: Approval) -> ToldApproval:
    asked = redacted_parts({"arguments": row.arguments, "reason": row.reason})
    said = redacted_parts({"reason": row.comment}) if row.comment else ()
    _forget(row, "arguments", "reason", "comment")
    return ToldApproval(row=row, answer=_answer(row), asked=asked, said=said)


def _forget(row: Model, *names: str) -> None:
    """No template finds the words in the row: whoever asks for them now asks the database."""
    for name in names:
        del row.__dict__[name]


def _answer(row: Approval) -> str:
    if row.decided_at is None:
        return "Not answered yet"
    if row.decided_by is None and not row.decided_label:
        late = row.decided_at >= row.expires_at
        return "Nobody answered: refused" if late else "It ended before an answer"
    return f"{'Approved' if row.approved else 'Refused'} by {row.decided_label}"


def _breaker(key: str, now: datetime) -> ToldBreaker:
    row = Breaker.objects.filter(key=key).first()
    state = CircuitState(row.state) if row else CircuitState.CLOSED
    words, look = sentences.BADGES[state]
    return ToldBreaker(
        key=key,
        badge=Badge(words=words, look=look.value),
        sentence=sentences.stands(row, now),
    )
