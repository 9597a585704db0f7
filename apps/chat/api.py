"""Threads and messages over HTTP: the same actions as the WebSocket, and waiting for an answer."""

from __future__ import annotations

import math
from functools import partial
from typing import Any
from uuid import UUID

from django.http.response import HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework.renderers import BaseRenderer, JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from apps.accounts import credentials
from apps.accounts.api import PatientAPIView, ScopedAPIView
from apps.accounts.permissions import TokenScope
from apps.chat import access, actions, queries, streaming, values
from apps.chat.actions import Asked, Question
from apps.chat.connections import connections
from apps.chat.limits import Limits
from apps.chat.models import Thread
from apps.chat.protocol import ID_MAX
from apps.chat.serializers import (
    AnsweredSerializer,
    AskedSerializer,
    ListedThreadSerializer,
    MessageSerializer,
    QuestionSerializer,
    ThreadDetailSerializer,
    ThreadEventPageSerializer,
    ThreadSerializer,
)
from apps.core.bodies import fields_of
from apps.core.errors import InvalidInputError
from apps.core.paging import PagesByChange, PagesInOrder
from apps.executions import queries as execution_queries
from apps.executions.api import AFTER, events_page, sequence
from apps.executions.queries import Position
from apps.executions.runner import runner

LONGEST_WAIT = 60
KEY = OpenApiParameter(
    "Idempotency-Key",
    OpenApiTypes.STR,
    OpenApiParameter.HEADER,
    description="The same key and body again give the first answer again, for 7 days.",
)
WAIT = OpenApiParameter(
    "wait",
    OpenApiTypes.NUMBER,
    description=f"Seconds to wait for the answer, at most {LONGEST_WAIT}.",
)
YES_NO = {"true": True, "1": True, "false": False, "0": False}


class EventStreamRenderer(BaseRenderer):
    """Only names the media type, so that it can be negotiated; the stream is written elsewhere."""

    media_type = streaming.MEDIA_TYPE
    format = "event-stream"


class ThreadsView(ScopedAPIView):
    """One's own conversations."""

    token_scope = TokenScope.CHAT

    pagination_class = PagesByChange

    @extend_schema(
        responses=ListedThreadSerializer(many=True),
        operation_id="threads_list",
        parameters=[OpenApiParameter("archived", OpenApiTypes.BOOL)],
    )
    def get(self, request: Request) -> Response:
        """Your conversations, what changed last first."""
        pages = self.pagination_class()
        rows = queries.threads_of(self.principal.user_id, archived=_archived(request))
        page = pages.paginate_queryset(rows, request, self)
        shown = ListedThreadSerializer(page, many=True)
        return pages.get_paginated_response(shown.data)

    @extend_schema(
        request=ThreadSerializer,
        responses={201: ThreadDetailSerializer},
        operation_id="threads_create",
    )
    def post(self, request: Request) -> Response:
        """Open an empty conversation."""
        given = ThreadSerializer(data=fields_of(request.data))
        given.is_valid(raise_exception=True)
        title = given.validated_data.get("title") or ""
        thread_id = self.write(
            lambda: actions.open_thread(principal=self.principal, title=title)
        )
        thread = access.thread_for(self.principal.user_id, thread_id)
        place = {"Location": f"{request.path}{thread_id}/"}
        return Response(_detail(thread), status=201, headers=place)


class ThreadView(ScopedAPIView):
    """One conversation."""

    token_scope = TokenScope.CHAT

    @extend_schema(responses=ThreadDetailSerializer, operation_id="threads_read")
    def get(self, request: Request, thread_id: UUID) -> Response:
        """One of your conversations, with how far its log reaches."""
        return Response(_detail(access.thread_for(self.principal.user_id, thread_id)))

    @extend_schema(
        request=ThreadSerializer,
        responses=ThreadDetailSerializer,
        operation_id="threads_change",
    )
    def patch(self, request: Request, thread_id: UUID) -> Response:
        """Rename a conversation, archive it, or bring it back."""
        access.thread_for(self.principal.user_id, thread_id)
        given = ThreadSerializer(data=fields_of(request.data), partial=True)
        given.is_valid(raise_exception=True)

        def unit() -> Thread:
            thread = access.thread_for(self.principal.user_id, thread_id)
            return actions.change_thread(thread=thread, **given.validated_data)

        return Response(_detail(self.write(unit)))

    @extend_schema(responses={204: None}, operation_id="threads_delete")
    def delete(self, request: Request, thread_id: UUID) -> Response:
        """Delete a conversation and all that was said in it. Figures of its executions stay."""

        def unit() -> None:
            thread = access.thread_for(self.principal.user_id, thread_id)
            actions.delete_thread(thread=thread)

        self.write(unit)
        return Response(status=204)


class MessagesView(PatientAPIView):
    """What was said in a conversation; ask the next question."""

    token_scope = TokenScope.CHAT

    pagination_class = PagesInOrder

    @extend_schema(responses=MessageSerializer(many=True), operation_id="messages_list")
    def get(self, request: Request, thread_id: UUID) -> Response:
        """What was said, the oldest first."""
        thread = access.thread_for(self.principal.user_id, thread_id)
        pages = self.pagination_class()
        page = pages.paginate_queryset(queries.messages_of(thread.pk), request, self)
        return pages.get_paginated_response(MessageSerializer(page, many=True).data)

    @extend_schema(
        request=QuestionSerializer,
        parameters=[KEY, WAIT],
        responses={
            202: AskedSerializer,
            200: OpenApiResponse(AnsweredSerializer, "With `wait`: how it ended."),
        },
        operation_id="messages_create",
    )
    def post(self, request: Request, thread_id: UUID) -> Response:
        """Ask. The agent answers in the conversation; with `wait`, in this response too."""
        who = self.principal
        limits = Limits.of(who.plan, window=None)
        connections.pace(who, limits)
        patience = _patience(request.query_params.get("wait"))
        question = _question(request, thread_id, limits.text_max)
        claim = runner.claim_at_intake if runner.free > 0 else None
        asked = self.write(
            partial(actions.ask, principal=who, question=question, claim=claim),
            proof=lambda told: queries.is_asked(told.message_id),
        )
        if not asked.duplicate:
            connections.tell_others(who, "thread_changed", asked.thread_id, None)
        answer = _asked(asked)
        if patience:
            self.later = partial(self._answered, answer, asked, patience)
        place = {"Location": f"/api/v1/executions/{asked.execution_id}/"}
        return Response(answer, status=202, headers=place)

    async def _answered(
        self, answer: dict[str, Any], asked: Asked, patience: float
    ) -> HttpResponseBase:
        """The end of the execution as a response of 200, or again 202 when it takes longer."""
        ended = await streaming.end_of(self.principal.scope, asked, patience)
        status = 202 if ended is None else 200
        document = answer | (_ended(ended) if ended else {})
        response: Response = Response(document, status=status)
        response["Location"] = f"/api/v1/executions/{asked.execution_id}/"
        self.finalize_response(self.request, response)
        response.render()
        return response


class ThreadEventsView(PatientAPIView):
    """A conversation's log, by the page or as a stream."""

    token_scope = TokenScope.CHAT

    renderer_classes = (JSONRenderer, EventStreamRenderer)

    @extend_schema(
        parameters=[
            AFTER,
            OpenApiParameter(
                "Last-Event-ID", OpenApiTypes.INT64, OpenApiParameter.HEADER
            ),
        ],
        responses={
            (200, "application/json"): ThreadEventPageSerializer,
            (200, streaming.MEDIA_TYPE): OpenApiTypes.STR,
        },
        operation_id="thread_events",
    )
    def get(self, request: Request, thread_id: UUID) -> HttpResponseBase:
        """Events after `after`. `Accept: text/event-stream` keeps the connection and sends what follows."""
        thread = access.thread_for(self.principal.user_id, thread_id)
        if request.accepted_renderer.media_type == streaming.MEDIA_TYPE:
            return self._stream(request, thread, _position(thread))
        page = events_page(request, partial(execution_queries.events_after, thread.pk))
        position = _position(thread)  # after the page: a cut between them is noticed
        if after := sequence(request.query_params.get("after")):
            streaming.check_kept(after, position)
        document = page | {
            "epoch": position.epoch,
            "first_kept": position.first_kept,
            "last_seq": position.last,
        }
        return Response(ThreadEventPageSerializer(document).data)

    def _stream(
        self, request: Request, thread: Thread, position: Position
    ) -> HttpResponseBase:
        known = request.headers.get("Last-Event-ID")
        after = (
            sequence(known, "Last-Event-ID")
            if known
            else sequence(request.query_params.get("after"))
        )
        credential = credentials.credential_of(
            {name.lower(): value for name, value in request.headers.items()}, ()
        )
        follower = streaming.Follower(self.principal, credential, thread.pk)
        return follower.response(after, position)


def _question(request: Request, thread_id: UUID, text_max: int) -> Question:
    fields = fields_of(request.data)
    return Question(
        text=values.text_of(fields, text_max),
        thread_id=thread_id,
        agent=values.optional_text(fields, "agent", 64),
        client_id=_key(request),
        metadata=values.optional_object(fields, "metadata"),
    )


def _key(request: Request) -> str | None:
    key = request.headers.get("Idempotency-Key", "").strip()
    if len(key) > ID_MAX:
        raise InvalidInputError(
            f"The key is longer than {ID_MAX} characters.",
            field="Idempotency-Key",
            fix="Send a UUID, or another short name.",
        )
    return key or None


def _patience(asked: str | None) -> float:
    if not asked:
        return 0
    try:
        seconds = float(asked)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds <= LONGEST_WAIT:
        raise InvalidInputError(
            f"'wait' must be a number of seconds from 0 to {LONGEST_WAIT}.",
            field="wait",
            fix="Wait less, and look at the execution afterwards.",
        )
    return seconds


def _archived(request: Request) -> bool:
    asked = request.query_params.get("archived", "").lower() or "false"
    if asked not in YES_NO:
        raise InvalidInputError(
            "'archived' must be true or false.",
            field="archived",
            fix="Send true or false.",
        )
    return YES_NO[asked]


def _position(thread: Thread) -> Position:
    position = execution_queries.position_of(thread.pk)
    assert position is not None, "a thread has a stream from its first transaction on"
    return position


def _detail(thread: Thread) -> dict[str, Any]:
    position = _position(thread)
    shown = ThreadSerializer(thread).data
    return {**shown, "epoch": str(position.epoch), "last_seq": position.last}


def _asked(asked: Asked) -> dict[str, Any]:
    return {**asked.answer(), "duplicate": asked.duplicate}


def _ended(ended: streaming.Ended) -> dict[str, Any]:
    answer = ended.message
    return {
        "state": ended.state.value,
        "text": answer.text if answer else "",
        "answer": MessageSerializer(answer).data if answer else None,
        "error": ended.failure,
    }
