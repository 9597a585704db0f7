"""One router for everything a client asks over the socket: each request, one call."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any
from uuid import UUID

from django.db import DatabaseError

from apps.accounts.permissions import Operation
from apps.audits import receipts
from apps.chat import access, actions, protocol, queries, values
from apps.chat.actions import Asked, Question
from apps.chat.connections import Connection, connections
from apps.chat.outbox import OutboxClosedError
from apps.chat.protocol import CloseCode, RefusedFrame, Request, RequestType
from apps.chat.subscriptions import event_frame, resync_frame
from apps.core.clock import clock
from apps.core.database import read, write
from apps.core.errors import (
    BadFrameError,
    InvalidInputError,
    NetraError,
    NotFoundError,
    UnsupportedError,
)
from apps.core.transactions import explained, is_failing
from apps.executions import access as execution_access
from apps.executions import approvals, endings
from apps.executions import queries as execution_queries
from apps.executions.approvals import Answer
from apps.executions.errors import LeaseLostError
from apps.executions.runner import runner

log = logging.getLogger(__name__)

CALL_ID_MAX, REASON_MAX = 200, 300  # characters, as the table takes them
# What only a person does; the rest a page sends by itself.
OF_PEOPLE = frozenset(
    {
        RequestType.USER_MESSAGE,
        RequestType.TYPING,
        RequestType.CANCEL,
        RequestType.DECIDE,
    }
)
Handler = Callable[[Connection, Request], Awaitable[None]]


class MessageRouter:
    """Finds the handler of a request and turns whatever it refuses into one error frame."""

    def __init__(self) -> None:
        self._handlers: dict[RequestType, Handler] = {
            RequestType.USER_MESSAGE: self.user_message,
            RequestType.SUBSCRIBE: self.subscribe,
            RequestType.UNSUBSCRIBE: self.unsubscribe,
            RequestType.ACK: self.ack,
            RequestType.CANCEL: self.cancel,
            RequestType.TYPING: self.typing,
            RequestType.PING: self.ping,
            RequestType.RETRY: self.unsupported,
            RequestType.DECIDE: self.decide,
            RequestType.FEEDBACK: self.unsupported,
        }

    async def route(self, connection: Connection, raw: str | bytes | None) -> None:
        """Handle one frame. Never raises for what a client sent."""
        frame_id: str | None = None
        try:
            request = protocol.parse(raw)
            frame_id = request.id
            if request.type in OF_PEOPLE:
                connection.used_at = time.monotonic()
            await self._handlers[request.type](connection, request)
        except RefusedFrame as refused:
            await self.refuse(connection, refused.error, refused.id)
        except OutboxClosedError:
            return
        except DatabaseError as error:
            await self.refuse(connection, explained(error), frame_id)
        except NetraError as error:
            await self.refuse(connection, error, frame_id)

    async def refuse(
        self, connection: Connection, error: NetraError, frame_id: str | None
    ) -> None:
        """Answer with the error; a receipt for known rules, a count for unreadable frames."""
        receipt_id: UUID | None = None
        if isinstance(error, BadFrameError):
            connection.bad_frames += 1
        elif not is_failing(error):
            receipt_id = await self._receipt(connection, error, frame_id)
        connection.outbox.put_anyway(
            protocol.error_frame(error, id=frame_id, receipt_id=receipt_id)
        )
        if connection.bad_frames >= protocol.BAD_FRAMES_MAX:
            await connection.end(
                CloseCode.BAD_FRAMES, BadFrameError("Too many unreadable frames.")
            )

    async def user_message(self, connection: Connection, request: Request) -> None:
        """Write the question, answer with its ids, then show the thread from there on."""
        connections.pace(connection.principal, connection.limits)
        question = _question(request, connection.limits.text_max)
        known = (
            connection.subscriptions.get(question.thread_id)
            if question.thread_id
            else None
        )
        if known is not None:
            known.hold()
        try:
            claim = runner.claim_at_intake if runner.free > 0 else None
            ask = partial(
                actions.ask,
                principal=connection.principal,
                question=question,
                claim=claim,
            )
            asked = await write(
                connection.principal.scope,
                ask,
                proof=lambda told: queries.is_asked(told.message_id),
            )
            data = {
                "client_id": request.id,
                **asked.answer(),
                "duplicate": asked.duplicate,
            }
            answer = protocol.frame(
                "message_accepted", data, id=request.id, thread_id=asked.thread_id
            )
            connection.outbox.put_anyway(answer)
            if not asked.duplicate:
                _show(connection, asked)
        finally:
            if known is not None:
                known.release()

    async def subscribe(self, connection: Connection, request: Request) -> None:
        """Attach first, then replay from the log, then live."""
        thread_id = values.uuid_of(request.fields, "thread_id")
        after = values.whole_number(request.fields, "after", 0)
        epoch = values.optional_uuid(request.fields, "epoch")
        position = await read(
            connection.principal.scope, lambda: _position(connection, thread_id)
        )
        reason = _resync_reason(position, after, epoch)
        if reason is not None:
            connection.unsubscribe(thread_id)
            answer = resync_frame(thread_id, reason, position.epoch, request.id)
            connection.outbox.put_anyway(answer)
            return
        connection.subscribe(thread_id, after).replay(request.id, position)

    async def unsubscribe(self, connection: Connection, request: Request) -> None:
        connection.unsubscribe(values.uuid_of(request.fields, "thread_id"))

    async def ack(self, connection: Connection, request: Request) -> None:
        """The client has shown everything up to `seq`; lower is ignored, higher than sent refused."""
        thread_id = values.uuid_of(request.fields, "thread_id")
        seq = values.whole_number(request.fields, "seq")
        if thread_id not in connection.subscriptions:
            raise NotFoundError(
                "This connection does not follow such a thread.",
                field="thread_id",
                fix="Subscribe to the thread first.",
            )
        progress = connection.progress[thread_id]
        if seq > progress.most:
            raise InvalidInputError(
                f"Nothing after {progress.most} was sent.",
                field="seq",
                fix="Acknowledge what you received.",
            )
        progress.acknowledge(seq)
        connection.outbox.acknowledge()

    async def cancel(self, connection: Connection, request: Request) -> None:
        """Ask an execution to stop; the terminal event tells who won."""
        execution_id = values.uuid_of(request.fields, "execution_id")
        principal = connection.principal

        def unit() -> str:
            standing = execution_access.standing_for(principal.user_id, execution_id)
            return endings.cancel(
                actor=principal.actor, standing=standing, reason="Stopped by you."
            ).value

        try:
            state = await write(principal.scope, unit)
        except LeaseLostError:  # it moved while we looked: look again
            state = await write(principal.scope, unit)
        frame = protocol.frame(
            "cancel_accepted",
            {"state": state},
            id=request.id,
            execution_id=execution_id,
        )
        connection.outbox.put_anyway(frame)

    async def decide(self, connection: Connection, request: Request) -> None:
        """Answer what an execution asks; `approval_decided` tells everybody who watches."""
        execution_id = values.uuid_of(request.fields, "execution_id")
        answer = _answer(request.fields)
        who = connection.principal
        who.demand(Operation.DECIDE_APPROVALS)

        def unit() -> None:
            standing = execution_access.standing_for(who.user_id, execution_id)
            approvals.decide(standing, answer, actor=who.actor, now=clock.now())

        try:
            await write(who.scope, unit)
        except LeaseLostError:  # it moved while we looked: look again
            await write(who.scope, unit)

    async def typing(self, connection: Connection, request: Request) -> None:
        thread_id = values.optional_uuid(request.fields, "thread_id")
        connections.tell_others(
            connection.principal, "typing", thread_id, connection.id
        )

    async def ping(self, connection: Connection, request: Request) -> None:
        connection.outbox.acknowledge()
        connection.outbox.put_anyway(protocol.frame("pong", {}, id=request.id))

    async def unsupported(self, _: Connection, request: Request) -> None:
        raise UnsupportedError(
            f"'{request.type}' is not supported by this version.", field="type"
        )

    async def _receipt(
        self, connection: Connection, error: NetraError, frame_id: str | None
    ) -> UUID | None:
        principal = connection.principal
        refusal = receipts.Refusal.of(
            error,
            organisation_id=principal.organisation_id,
            user_id=principal.user_id,
            rule="chat protocol",
            correlation_id=frame_id or str(connection.id),
        )
        try:
            return await write(principal.scope, lambda: receipts.record(refusal))
        except (DatabaseError, NetraError):
            log.exception(
                "a receipt could not be written",
                extra={"action": "chat.receipt_failed"},
            )
            return None


def _question(request: Request, text_max: int) -> Question:
    fields = request.fields
    return Question(
        text=values.text_of(fields, text_max),
        thread_id=values.optional_uuid(fields, "thread_id"),
        agent=values.optional_text(fields, "agent", 64),
        client_id=request.id,
        metadata=values.optional_object(fields, "metadata"),
    )


def _answer(fields: Mapping[str, Any]) -> Answer:
    """A person's yes or no; raises InvalidInputError for what is neither."""
    call_id = values.optional_text(fields, "call_id", CALL_ID_MAX)
    approve = fields.get("approve")
    if call_id is None:
        raise InvalidInputError(
            "'call_id' is missing.", field="call_id", fix="Send that of the request."
        )
    if not isinstance(approve, bool):
        raise InvalidInputError(
            f"'approve' must be true or false, not {values.kind_of(approve)}.",
            field="approve",
            fix="Send true to agree, false to refuse.",
        )
    comment = values.optional_text(fields, "reason", REASON_MAX) or ""
    return Answer(call_id=call_id, approve=approve, comment=comment)


def _show(connection: Connection, asked: Asked) -> None:
    """Send what the question wrote, and follow its thread from there."""
    subscription = connection.subscriptions.get(asked.thread_id)
    if subscription is None:
        subscription = connection.subscribe(asked.thread_id, asked.seq - 1)
        subscription.hold()
        for entry in asked.entries:
            subscription.offer(entry, event_frame(entry))
        subscription.release()
    connections.tell_others(
        connection.principal, "thread_changed", asked.thread_id, connection.id
    )


def _position(connection: Connection, thread_id: UUID) -> execution_queries.Position:
    thread = access.thread_for(connection.principal.user_id, thread_id)
    position = execution_queries.position_of(thread.pk)
    assert position is not None, "a thread has a stream from its first transaction on"
    return position


def _resync_reason(
    position: execution_queries.Position, after: int, epoch: UUID | None
) -> str | None:
    if epoch is not None and epoch != position.epoch:
        return "epoch"
    if after > position.last:
        return "ahead"
    if after + 1 < position.first_kept:
        return "retained"
    return None


router = MessageRouter()
