"""Executions over HTTP: one's own, with their events; stop one."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.utils.urls import replace_query_param

from apps.accounts.api import ScopedAPIView
from apps.accounts.permissions import TokenScope
from apps.core.errors import ConflictError, InvalidInputError, UnsupportedError
from apps.core.paging import Pages
from apps.executions import access, endings, queries
from apps.executions.errors import LeaseLostError
from apps.executions.events import LogEntry
from apps.executions.models import Execution
from apps.executions.serializers import (
    CancelledSerializer,
    EventPageSerializer,
    EventSerializer,
    ExecutionDetailSerializer,
    ExecutionSerializer,
    event_document,
)
from apps.executions.states import ExecutionState

AFTER = OpenApiParameter(
    "after",
    OpenApiTypes.INT64,
    description="The last `seq` that you have; 0, or left out, for all.",
)
LARGEST = 2**63 - 1
TRIES = 3  # a runner may move an execution between our look and our write


class ExecutionsView(ScopedAPIView):
    """One's own executions."""

    token_scope = TokenScope.CHAT

    pagination_class = Pages

    @extend_schema(
        responses=ExecutionSerializer(many=True),
        operation_id="executions_list",
        parameters=[
            OpenApiParameter("state", enum=[s.value for s in ExecutionState]),
            OpenApiParameter("thread_id", OpenApiTypes.UUID),
            OpenApiParameter("agent", OpenApiTypes.STR),
        ],
    )
    def get(self, request: Request) -> Response:
        """Your executions, the newest first, without what was said."""
        pages = self.pagination_class()
        rows = _filtered(access.executions_of(self.principal.user_id), request)
        page = pages.paginate_queryset(rows, request, self)
        return pages.get_paginated_response(ExecutionSerializer(page, many=True).data)


class ExecutionView(ScopedAPIView):
    """One execution."""

    token_scope = TokenScope.CHAT

    @extend_schema(responses=ExecutionDetailSerializer, operation_id="executions_read")
    def get(self, request: Request, execution_id: UUID) -> Response:
        """One of your executions, with question, answer and every transition."""
        row = access.execution_for(self.principal.user_id, execution_id)
        return Response(ExecutionDetailSerializer(row).data)


class ExecutionEventsView(ScopedAPIView):
    """What one execution wrote into its thread's log."""

    token_scope = TokenScope.CHAT

    @extend_schema(
        responses=EventPageSerializer,
        operation_id="execution_events",
        parameters=[AFTER],
    )
    def get(self, request: Request, execution_id: UUID) -> Response:
        """The events of one of your executions, in order."""
        row = access.execution_for(self.principal.user_id, execution_id)
        return Response(events_page(request, partial(queries.events_of, row.pk)))


class CancelView(ScopedAPIView):
    """Stop an execution."""

    token_scope = TokenScope.CHAT

    @extend_schema(
        request=None,
        responses={202: CancelledSerializer},
        operation_id="execution_cancel",
    )
    def post(self, request: Request, execution_id: UUID) -> Response:
        """Ask an execution to stop. Its terminal event tells who won; one that ended stays as it is."""
        state = self._cancel(execution_id)
        document = {"execution_id": execution_id, "state": state.value}
        return Response(CancelledSerializer(document).data, status=202)

    def _cancel(self, execution_id: UUID) -> ExecutionState:
        who = self.principal

        def unit() -> ExecutionState:
            standing = access.standing_for(who.user_id, execution_id)
            return endings.cancel(
                actor=who.actor, standing=standing, reason="Stopped by you."
            )

        for _ in range(TRIES):
            try:
                return self.write(unit)
            except LeaseLostError:
                continue
        raise ConflictError("The execution moves too quickly to be stopped right now.")


class RetryView(ScopedAPIView):
    """Try an execution again."""

    token_scope = TokenScope.CHAT

    @extend_schema(request=None, responses={422: None}, operation_id="execution_retry")
    def post(self, request: Request, execution_id: UUID) -> Response:
        """Not supported yet: ask the question again instead."""
        access.execution_for(self.principal.user_id, execution_id)
        raise UnsupportedError(
            "Trying again is not supported by this version.",
            fix="Send the question again.",
        )


def events_page(
    request: Request, read: Callable[[int, int], list[LogEntry]]
) -> dict[str, Any]:
    """One page of a log after `?after=`; `next` leads on while there is more."""
    entries = read(sequence(request.query_params.get("after")), queries.PAGE)
    following = None
    if len(entries) == queries.PAGE:
        here = request.build_absolute_uri()
        following = replace_query_param(here, "after", str(entries[-1].seq))
    shown = EventSerializer([event_document(entry) for entry in entries], many=True)
    return {"next": following, "previous": None, "results": shown.data}


def sequence(text: str | None, field: str = "after") -> int:
    """A number of the log as a client sends it; raises InvalidInputError for anything else."""
    if not text:
        return 0
    if text.isascii() and text.isdigit() and len(text) < 20 and int(text) <= LARGEST:
        return int(text)
    raise InvalidInputError(
        f"'{field}' must be a whole number, 0 or more.",
        field=field,
        fix="Send the last 'seq' that you have.",
    )


def _filtered(rows: QuerySet[Execution], request: Request) -> QuerySet[Execution]:
    asked = request.query_params
    if state := asked.get("state"):
        if state not in ExecutionState._value2member_map_:
            known = ", ".join(s.value for s in ExecutionState)
            raise InvalidInputError(
                f"{state[:40]!r} is not a state.",
                field="state",
                fix=f"Use one of: {known}.",
            )
        rows = rows.filter(state=state)
    if agent := asked.get("agent"):
        rows = rows.filter(agent=agent.replace("\x00", ""))
    if thread := asked.get("thread_id"):
        rows = rows.filter(stream_id=_uuid(thread))
    return rows


def _uuid(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise InvalidInputError(
            "'thread_id' is not a UUID.", field="thread_id", fix="Send a UUID."
        ) from None
