"""What usage hears: an execution that ended, whose consumption it writes in the same transaction."""

from __future__ import annotations

from decimal import Decimal

from apps.core.events import projector
from apps.executions.events import ExecutionFinished
from apps.executions.states import ExecutionState
from apps.usage import actions, prices


@projector(ExecutionFinished)
def record_own_usage(event: ExecutionFinished) -> None:
    """Write what a completed execution consumed; Netra's own models consume nothing that costs."""
    usage = event.usage
    if event.state is not ExecutionState.COMPLETED or prices.is_local(usage.model):
        return
    if usage.input_tokens + usage.output_tokens == 0:
        return
    cost = Decimal(usage.cost_usd) or prices.cost_of_model(
        usage.model, usage.input_tokens, usage.output_tokens
    )
    if cost is None:
        return
    actions.record_execution(
        organisation_id=event.organisation_id,
        execution_id=event.execution_id,
        agent=event.agent,
        model=usage.model,
        tokens=(usage.input_tokens, usage.output_tokens),
        cost=cost,
        at=event.at,
    )
