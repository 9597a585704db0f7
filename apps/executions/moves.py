"""The one function that moves an execution, and the fence that guards every write about it.

Knows states and rows. What a move is for is told by `actions` and `endings`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from itertools import pairwise
from typing import Any

from apps.core import sql
from apps.core.actors import Actor
from apps.executions.errors import (
    IllegalPhaseError,
    IllegalTransitionError,
    LeaseLostError,
    Refused,
)
from apps.executions.models import Execution, PhaseEntry, Transition
from apps.executions.standing import Standing
from apps.executions.states import (
    CLAIMED,
    TERMINAL,
    ExecutionState,
    Phase,
    allows,
    allows_phase,
    checked_state,
)

refused_moves: Counter[tuple[str, str]] = Counter()

S = ExecutionState


def move(
    standing: Standing,
    *path: ExecutionState,
    actor: Actor,
    now: datetime,
    reason: str = "",
    values: Mapping[str, object] | None = None,
) -> Standing:
    """Move an execution along `path`: one compare-and-swap, one transition row for each step.

    Raises IllegalTransitionError for a step that the table refuses (nothing is written), and
    LeaseLostError when the row is no longer as `standing` says.
    """
    steps = _steps(standing, path)
    source = steps[-1][1] if steps else standing.state
    changes: dict[str, object] = {
        "state": source,
        "version": standing.version + len(steps),
        "updated_at": now,
        **_consequences(source, now),
        **(values or {}),
    }
    if not sql.swap(Execution, where=_fenced(standing), values=changes):
        lost = LeaseLostError(
            f"execution {standing.id} is no longer {standing.state} at fence {standing.fence}"
        )
        lost.refused = _refused(standing, standing.state, source, "fenced")
        raise lost
    fence = int(str(changes.get("fence", standing.fence)))
    rows = [
        transition_row(
            standing, before, after, standing.version + n, actor, now, reason
        )
        | {"fence": fence}
        for n, (before, after) in enumerate(steps, 1)
    ]
    sql.insert(Transition, rows)
    return replace(
        standing,
        state=source,
        version=standing.version + len(steps),
        lease_token=standing.lease_token if source in CLAIMED else None,
    )


def _steps(
    standing: Standing, path: Sequence[ExecutionState]
) -> list[tuple[ExecutionState, ExecutionState]]:
    """(from, to) of each step; raises IllegalTransitionError at the first that the table refuses."""
    sources = [standing.state, *path]
    steps = list(pairwise(sources))
    for source, target in steps:
        if not allows(source, checked_state(target)):
            illegal = IllegalTransitionError(
                f"An execution cannot go from {source} to {target}."
            )
            illegal.refused = _refused(standing, source, target, "illegal")
            raise illegal
    return steps


def touch(
    standing: Standing, *, now: datetime, values: Mapping[str, object] | None = None
) -> None:
    """A fenced write that moves nothing; raises LeaseLostError when the lease is another's."""
    if not sql.swap(
        Execution, where=_fenced(standing), values={"updated_at": now, **(values or {})}
    ):
        raise LeaseLostError(
            f"execution {standing.id} is no longer held at fence {standing.fence}"
        )


def enter_phase(standing: Standing, *phases: tuple[Phase, datetime]) -> Standing:
    """Append phases of the present claim; raises IllegalPhaseError for one that may not follow."""
    present, rows = standing.phase, []
    for n, (phase, at) in enumerate(phases, standing.phases + 1):
        if not allows_phase(present, phase):
            raise IllegalPhaseError(f"Phase {phase} may not follow {present}.")
        entry = {"fence": standing.fence, "n": n, "phase": phase, "at": at}
        rows.append(keys_of(standing) | entry)
        present = phase
    sql.insert(PhaseEntry, rows)
    return replace(standing, phase=present, phases=standing.phases + len(rows))


def _refused(
    standing: Standing, source: ExecutionState, target: ExecutionState, why: str
) -> Refused:
    refused_moves[source.value, target.value] += 1
    return Refused(
        execution_id=standing.id,
        organisation_id=standing.organisation_id,
        from_state=source.value,
        to_state=target.value,
        fence=standing.fence,
        attempt=standing.attempt,
        why=why,
    )


def keys_of(standing: Standing) -> dict[str, Any]:
    """Whose row it is, as the tables around an execution name it."""
    return {
        "organisation_id": standing.organisation_id,
        "execution_id": standing.id,
    }


def _fenced(standing: Standing) -> dict[str, object]:
    return {
        "id": standing.id,
        "organisation_id": standing.organisation_id,
        "state": standing.state,
        "version": standing.version,
        "fence": standing.fence,
        "lease_token": standing.lease_token,
    }


def _consequences(state: ExecutionState, now: datetime) -> dict[str, object]:
    if state in TERMINAL:
        return {
            "lease_token": None,
            "lease_expires_at": None,
            "finished_at": now,
            "waiting_for": "",
        }
    if state is S.PENDING:
        return {
            "lease_token": None,
            "lease_expires_at": None,
            "owner": None,
            "phase": "",
        }
    return {}


def transition_row(
    standing: Standing,
    source: str,
    target: ExecutionState,
    n: int,
    actor: Actor,
    now: datetime,
    reason: str,
) -> dict[str, object]:
    return keys_of(standing) | {
        "n": n,
        "from_state": str(source),
        "to_state": target,
        "attempt": standing.attempt,
        "fence": standing.fence,
        "actor_kind": actor.kind.value,
        "actor_id": actor.id,
        "actor_label": actor.label,
        "reason": reason[:300],
        "at": now,
    }
