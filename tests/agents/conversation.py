"""Asks the offline analyst as the runtime does: plan, call the tools, plan again, until it answers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import date

from apps.accounts.access import Principal
from apps.agents import analyst
from apps.agents.toolbox import TOOLS
from apps.executions.contexts import UserExecutionContext
from tests.factories import OWNER

ROUNDS = 5


def context_of(who: Principal) -> UserExecutionContext:
    return UserExecutionContext.for_principal(who, thread_id=OWNER, run_id=OWNER)


async def ask(
    who: Principal, question: str, *, today: date, history: Sequence[str] = ()
) -> tuple[str, list[analyst.ToolResult]]:
    """The answer, and what the tools returned on the way to it."""
    context, results = context_of(who), []
    for _ in range(ROUNDS):
        decision = analyst.plan(question, results, today=today, history=history)
        if isinstance(decision, analyst.Answer):
            return decision.text, results
        for call in decision.calls:
            content = await TOOLS[call.tool].function(
                context, **json.loads(call.json_arguments)
            )
            results.append(analyst.ToolResult(call.tool, content))
    raise AssertionError(f"no answer after {ROUNDS} rounds of tools")
