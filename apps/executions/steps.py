"""The step ledger: what tools with side effects began and ended, so that a later attempt knows.

Every write is fenced by the lease. What follows from an unknown step is decided by who calls.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from apps.core import sql
from apps.executions.errors import LeaseLostError
from apps.executions.models import Approval, Step
from apps.executions.moves import keys_of, touch
from apps.executions.standing import Standing

# A finished step is in none of these: it is never begun again.
_MAY_BEGIN = (Step.State.PLANNED, Step.State.STARTED, Step.State.FAILED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What the ledger holds about a step."""

    state: Step.State
    call_id: str  # under which a person is asked about its unknown start
    approved: bool | None  # what a person said to that
    result: object


def known(execution_id: UUID, key: str) -> Known | None:
    """The step as earlier attempts left it; None for one that was never begun."""
    row = (
        Step.objects.filter(execution_id=execution_id, key=key)
        .values_list("state", "fence", "result")
        .first()
    )
    if row is None:
        return None
    state, fence, result = row
    call_id = f"{key}:{fence}"
    answers = Approval.objects.filter(execution_id=execution_id, call_id=call_id)
    return Known(
        state=Step.State(state),
        call_id=call_id,
        approved=answers.values_list("approved", flat=True).first(),
        result=result,
    )


def was_refused(execution_id: UUID, prefix: str) -> bool:
    """Whether a person refused a step whose key begins so: the same call, counted differently."""
    refused = Approval.objects.filter(execution_id=execution_id, approved=False)
    return bool(refused.filter(call_id__startswith=prefix).exists())


def start(standing: Standing, *, key: str, tool: str, now: datetime) -> None:
    """Write that the step begins. Commit it before the tool is called.

    Raises IntegrityError for a step that is finished.
    """
    touch(standing, now=now)
    begun = {
        "state": Step.State.STARTED,
        "attempt": standing.attempt,
        "fence": standing.fence,
        "started_at": now,
        "finished_at": None,
    }
    own = keys_of(standing) | {"key": key}
    if not sql.swap(Step, where=own, where_in={"state": _MAY_BEGIN}, values=begun):
        sql.insert(Step, [own | begun | {"tool": tool, "planned_at": now}])


def finish(standing: Standing, *, key: str, result: object, now: datetime) -> None:
    """Write that the step happened, and what it gave."""
    values = {"state": Step.State.FINISHED, "result": result, "finished_at": now}
    _end(standing, key, values, now)


def fail(standing: Standing, *, key: str, now: datetime) -> None:
    """Write that the tool refused, and that nothing happened; the step may begin again."""
    _end(standing, key, {"state": Step.State.FAILED, "finished_at": now}, now)


def _end(
    standing: Standing, key: str, values: dict[str, object], now: datetime
) -> None:
    touch(standing, now=now)
    begun = {"key": key, "state": Step.State.STARTED, "fence": standing.fence}
    if not sql.swap(Step, where=keys_of(standing) | begun, values=values):
        raise LeaseLostError(
            f"step {key} of execution {standing.id} was not begun at fence {standing.fence}"
        )
