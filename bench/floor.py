"""The floor of every comparison: pydantic-ai's own AG-UI endpoint, nothing stored.

    python -m uvicorn floor:app --app-dir bench --port 8101

Its scripted model is the one of our agent `golden-turn`: request 1 calls
`lookup(q="x")`, request 2 streams `tok0 ` to `tok19 `.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

from chats import GOLDEN_TOKENS
from pydantic_ai import Agent
from pydantic_ai.messages import ModelMessage, ToolReturnPart
from pydantic_ai.models.function import (
    AgentInfo,
    DeltaToolCall,
    DeltaToolCalls,
    FunctionModel,
)
from pydantic_ai.ui.ag_ui import AGUIAdapter
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route


async def scripted(
    messages: list[ModelMessage], _: AgentInfo
) -> AsyncIterator[str | DeltaToolCalls]:
    if any(isinstance(part, ToolReturnPart) for part in messages[-1].parts):
        for number in range(GOLDEN_TOKENS):
            yield f"tok{number} "
    else:
        call = DeltaToolCall(name="lookup", json_args='{"q":"x"}', tool_call_id="c1")
        yield {0: call}


agent = Agent(FunctionModel(stream_function=scripted))


@agent.tool_plain
async def lookup(q: str) -> str:
    return "result for " + q


async def run(request: Request) -> Response:
    return await AGUIAdapter.dispatch_request(request, agent=agent)


app = Starlette(routes=[Route("/", run, methods=["POST"])])
