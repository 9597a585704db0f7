"""Every write of chat: a question, its reply, a thread's life. One action for all four doors."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from apps.accounts.access import Principal
from apps.accounts.permissions import Operation
from apps.agents.access import ChosenAgent, agent_for
from apps.agents.catalogue import RUNNER, WhileBusy
from apps.chat import access, queries
from apps.chat.models import IdempotencyKey, Message, Thread
from apps.chat.precedence import must_wait
from apps.core import faults, sql
from apps.core.clock import clock
from apps.core.errors import (
    IdempotencyConflictError,
    NotAllowedError,
    NotFoundError,
)
from apps.core.ids import rising_id
from apps.executions import actions as executions
from apps.executions import journal, retention
from apps.executions import queries as execution_queries
from apps.executions.events import ExecutionFinished, LogEntry
from apps.executions.journal import Draft
from apps.executions.standing import Order, Standing
from apps.executions.states import EventType

TITLE_LENGTH = 60
Claimer = Callable[[Standing, Mapping[str, object], datetime], list[Draft]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What a person asks, already checked by the door's protocol."""

    text: str
    thread_id: UUID | None = None
    agent: str | None = None
    client_id: str | None = None
    metadata: Mapping[str, object] = field(default_factory=dict)

    def digest(self) -> str:
        """The body's fingerprint: the same id with another body is a conflict."""
        body = [self.text, str(self.thread_id), self.agent, dict(self.metadata)]
        return hashlib.sha256(
            json.dumps(body, sort_keys=True, default=str).encode()
        ).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What came of a question: the ids, and the entries it wrote into the thread's log."""

    thread_id: UUID
    message_id: UUID
    execution_id: UUID
    seq: int
    queued: bool = False  # it waits for what was asked before it in its thread
    policy: WhileBusy = WhileBusy.QUEUE
    duplicate: bool = False
    entries: tuple[LogEntry, ...] = ()

    def answer(self) -> dict[str, object]:
        return {
            "message_id": str(self.message_id),
            "execution_id": str(self.execution_id),
            "thread_id": str(self.thread_id),
            "seq": self.seq,
            "queued": self.queued,
            "policy": self.policy.value,
        }


def ask(
    *,
    principal: Principal,
    question: Question,
    claim: Claimer | None = None,
    now: datetime | None = None,
) -> Asked:
    """Write a question with its execution; claims it at once where `claim` has a free slot.

    What else is alive in the thread comes first, or makes way, as the agent's policy says.
    Raises NotFoundError for an absent or foreign thread, IdempotencyConflictError, ThreadBusyError,
    NotAllowedError; then nothing is written.
    """
    if not principal.may(Operation.ASK):
        raise NotAllowedError("Your role may read but not ask.")
    if question.client_id and (known := _known(principal, question)) is not None:
        return known
    now = now or clock.now()
    agent = agent_for(question.agent, is_staff=principal.is_staff)
    thread_id, waits = _thread(principal, agent, question, now)
    message_id = rising_id()
    order = _order(principal, agent, thread_id, question, waits=waits)
    _write_message(principal, thread_id, message_id, question, order.id, now)
    standing = executions.queue(
        actor=principal.actor, order=order, now=now, ring=claim is None
    )
    drafts = [_message_created(message_id, question)]
    if claim is not None and not waits:
        drafts += claim(standing, order.input, now)
    entries = journal.append(
        organisation_id=principal.organisation_id,
        stream_id=thread_id,
        drafts=drafts,
        now=now,
        execution_id=order.id,
        attempt=standing.attempt,
    )
    asked = Asked(
        thread_id=thread_id,
        message_id=message_id,
        execution_id=order.id,
        seq=entries[0].seq,
        queued=waits,
        policy=agent.while_busy,
        entries=tuple(entries),
    )
    if question.client_id:
        _remember(principal, question, asked, now)
    faults.reach("in_intake")
    return asked


def open_thread(
    *, principal: Principal, title: str = "", now: datetime | None = None
) -> UUID:
    """Start an empty conversation with its log; returns its id."""
    now = now or clock.now()
    thread_id = rising_id()
    journal.open_stream(
        stream_id=thread_id,
        organisation_id=principal.organisation_id,
        user_id=principal.user_id,
    )
    row = {
        "id": thread_id,
        "organisation_id": principal.organisation_id,
        "user_id": principal.user_id,
        "title": title,
        "created_at": now,
        "updated_at": now,
    }
    sql.insert(Thread, [row])
    return thread_id


def write_reply(finished: ExecutionFinished) -> None:
    """The agent's message, in the transaction that ends its execution."""
    if finished.reply_id is None or not finished.text:
        return
    row = {
        "id": finished.reply_id,
        "organisation_id": finished.organisation_id,
        "thread_id": finished.stream_id,
        "role": Message.Role.ASSISTANT,
        "text": finished.text,
        "agent": finished.agent,
        "execution_id": finished.execution_id,
        "partial": finished.partial,
        "created_at": finished.at,
    }
    sql.insert(Message, [row])


def release_next(stream_id: UUID, now: datetime | None = None) -> bool:
    """Let the oldest waiting question of a thread go, with the conversation as it is now."""
    alive = execution_queries.alive_in(stream_id)
    if not alive or any(standing.waiting_for != "predecessor" for standing in alive):
        return False
    standing = alive[0]
    given = execution_queries.input_of(standing.id)
    given["history"] = queries.history_without_waiting(stream_id)
    executions.complete_input(standing=standing, values=given, now=now or clock.now())
    return True


def change_thread(
    *, thread: Thread, title: str | None = None, archived: bool | None = None
) -> Thread:
    """Rename a thread, or put it away or back; None leaves a value as it is."""
    given = {"title": title, "archived": archived}
    values = {name: value for name, value in given.items() if value is not None}
    if values:
        Thread.objects.filter(pk=thread.pk).update(**values)
        thread.refresh_from_db(fields=list(values))
    return thread


def delete_thread(*, thread: Thread) -> None:
    """Delete a thread with its messages, and what was said from its executions and its log.

    What happened stays, without words: executions, their moves and events, usage, receipts.
    Raises ConflictError while an answer is being written.
    """
    rows = Thread.objects.filter(pk=thread.pk)
    list(rows.select_for_update().values_list("pk"))  # a question asked meanwhile waits
    retention.forget_content(stream_id=thread.pk)
    rows.delete()


def forget_keys(before: datetime) -> int:
    """Drop the ids of messages that were asked before `before`; returns how many."""
    dropped: int = IdempotencyKey.objects.filter(created_at__lt=before).delete()[0]
    return dropped


def _known(principal: Principal, question: Question) -> Asked | None:
    where = {
        "organisation_id": principal.organisation_id,
        "user_id": principal.user_id,
        "key": question.client_id,
    }
    rows = sql.select(IdempotencyKey, ("body_digest", "answer"), where=where)
    if not rows:
        return None
    digest, answer = rows[0]
    if digest != question.digest():
        raise IdempotencyConflictError(field="id")
    return Asked(
        thread_id=UUID(answer["thread_id"]),
        message_id=UUID(answer["message_id"]),
        execution_id=UUID(answer["execution_id"]),
        seq=answer["seq"],
        # The release before kept neither.
        queued=answer.get("queued", False),
        policy=WhileBusy(answer.get("policy", WhileBusy.QUEUE)),
        duplicate=True,
    )


def _remember(
    principal: Principal, question: Question, asked: Asked, now: datetime
) -> None:
    row = {
        "organisation_id": principal.organisation_id,
        "user_id": principal.user_id,
        "key": question.client_id,
        "body_digest": question.digest(),
        "answer": asked.answer(),
        "created_at": now,
    }
    sql.insert(IdempotencyKey, [row])


def _thread(
    principal: Principal, agent: ChosenAgent, question: Question, now: datetime
) -> tuple[UUID, bool]:
    """The thread's id, and whether something in it must end first."""
    if question.thread_id is None:
        return open_thread(
            principal=principal, title=_title(question.text), now=now
        ), False
    organisation_id, thread_id = principal.organisation_id, question.thread_id
    title = access.title_for(organisation_id, principal.user_id, thread_id)
    values = {
        "updated_at": now,
        "archived": False,
        "title": title or _title(question.text),
    }
    where = {"id": thread_id, "organisation_id": organisation_id}
    if not sql.swap(Thread, where=where, values=values):
        raise NotFoundError("There is no such thread.", field="thread_id")
    return thread_id, must_wait(principal, agent, thread_id, now)


def _order(
    principal: Principal,
    agent: ChosenAgent,
    thread_id: UUID,
    question: Question,
    *,
    waits: bool,
) -> Order:
    history = (
        []
        if question.thread_id is None or waits
        else queries.history(principal.organisation_id, thread_id)
    )
    return Order(
        organisation_id=principal.organisation_id,
        user_id=principal.user_id,
        stream_id=thread_id,
        runner=RUNNER,
        agent=agent.name,
        tier=principal.tier,
        timeout_seconds=principal.plan.execution_seconds,
        input={
            "text": question.text,
            "history": history,
            "model": agent.model,
            "metadata": dict(question.metadata),
        },
        reply_id=rising_id(),
        waiting_for="predecessor" if waits else "",
    )


def _write_message(
    principal: Principal,
    thread_id: UUID,
    message_id: UUID,
    question: Question,
    execution_id: UUID,
    now: datetime,
) -> None:
    row = {
        "id": message_id,
        "organisation_id": principal.organisation_id,
        "thread_id": thread_id,
        "role": Message.Role.USER,
        "text": question.text,
        "client_id": question.client_id or "",
        "execution_id": execution_id,
        "created_at": now,
    }
    sql.insert(Message, [row])


def _message_created(message_id: UUID, question: Question) -> Draft:
    payload: dict[str, object] = {
        "message_id": str(message_id),
        "role": "user",
        "text": question.text,
    }
    if question.client_id:
        payload["client_id"] = question.client_id
    return Draft(type=EventType.MESSAGE_CREATED, payload=payload, about_execution=False)


def _title(text: str) -> str:
    line = " ".join(text.split())
    return (
        line if len(line) <= TITLE_LENGTH else line[: TITLE_LENGTH - 1].rstrip() + "…"
    )
