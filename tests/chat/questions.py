"""What the tests of chat say again and again: ask, and count what was written."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Any, TypeVar

from django.db import connections

from apps.accounts.access import Principal
from apps.chat import actions
from apps.chat.actions import Asked, Question
from apps.chat.models import IdempotencyKey, Message, Thread
from apps.core.database import write_now
from apps.executions.models import Content, Event, Execution, Stream
from apps.executions.standing import Standing
from apps.usage.models import Record
from tests import factories
from tests.factories import TESTS

Result = TypeVar("Result")
TABLES = (Thread, Message, IdempotencyKey, Execution, Content, Event, Stream, Record)


def ask(
    who: Principal,
    text: str = "hello",
    *,
    now: datetime | None = None,
    **values: object,
) -> Asked:
    """Ask as a door does, in a unit of its own."""
    question = Question(text=text, **{"agent": "golden-turn", **values})  # type: ignore[arg-type]
    return write_now(
        who.scope, partial(actions.ask, principal=who, question=question, now=now)
    )


async def aside(work: Callable[..., Result], *args: Any, **values: Any) -> Result:
    """Call what talks to the database from a test on the loop; its connection is not left."""

    def call() -> Result:
        try:
            return work(*args, **values)
        finally:
            connections.close_all()

    return await asyncio.to_thread(call)


def written() -> dict[str, int]:
    """How many rows there are of everything that a question may write."""
    with TESTS:
        return {model.__name__: model.objects.count() for model in TABLES}


def execution_of(asked: Asked) -> Execution:
    with TESTS:
        found: Execution = Execution.objects.get(id=asked.execution_id)
    return found


def standing_of(asked: Asked) -> Standing:
    return Standing.of(execution_of(asked))


def claimed(asked: Asked) -> Standing:
    """The question's execution, taken by a runner."""
    return factories.claim(standing_of(asked))


def input_of(asked: Asked) -> dict:
    with TESTS:
        found: dict = Content.objects.get(execution_id=asked.execution_id).input
    return found
