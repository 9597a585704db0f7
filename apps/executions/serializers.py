"""Executions and events as the API shows them. Content only where a view asks for it."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from apps.executions.events import LogEntry
from apps.executions.models import Content, Execution, Transition
from apps.executions.states import EventType, ExecutionState

STATES = [state.value for state in ExecutionState]


class ExecutionSerializer(serializers.ModelSerializer[Execution]):
    """One execution's structure."""

    thread_id = serializers.UUIDField(source="stream_id")
    state = serializers.ChoiceField(choices=STATES)

    class Meta:
        model = Execution
        fields: tuple[str, ...] = (
            "id",
            "thread_id",
            "agent",
            "model",
            "tier",
            "state",
            "phase",
            "waiting_for",
            "attempt",
            "max_attempts",
            "timeout_seconds",
            "reply_id",
            "retry_of",
            "error_code",
            "receipt_id",
            "input_tokens",
            "output_tokens",
            "cost_usd",
            "created_at",
            "started_at",
            "first_token_at",
            "finished_at",
            "deadline_at",
            "cancel_requested_at",
        )


class TransitionSerializer(serializers.ModelSerializer[Transition]):
    """One move of an execution."""

    class Meta:
        model = Transition
        fields = ("n", "from_state", "to_state", "attempt", "reason", "at")


class ExecutionDetailSerializer(ExecutionSerializer):
    """One of one's own executions, with what was asked and answered."""

    question = serializers.SerializerMethodField()
    answer = serializers.SerializerMethodField()
    transitions = TransitionSerializer(many=True)

    class Meta(ExecutionSerializer.Meta):
        fields = (
            *ExecutionSerializer.Meta.fields,
            "question",
            "answer",
            "transitions",
        )

    def get_question(self, row: Execution) -> str:
        given = row.content.input
        return str(given.get("text", "")) if isinstance(given, dict) else ""

    def get_answer(self, row: Execution) -> str:
        content: Content = row.content
        return str(content.output or content.partial)


class EventSerializer(serializers.Serializer[Any]):
    """One entry of a thread's log, in the WebSocket's envelope."""

    type = serializers.ChoiceField(choices=[kind.value for kind in EventType])
    thread_id = serializers.UUIDField()
    execution_id = serializers.UUIDField(allow_null=True)
    seq = serializers.IntegerField()
    event_id = serializers.UUIDField()
    at = serializers.DateTimeField()
    data = serializers.DictField()  # type: ignore[assignment]  # the protocol's own word


class EventPageSerializer(serializers.Serializer[Any]):
    """A page of a log. `next` is null at its present end; ask again after the last `seq`."""

    next = serializers.URLField(allow_null=True)
    previous = serializers.URLField(allow_null=True)
    results = EventSerializer(many=True)


class CancelledSerializer(serializers.Serializer[Any]):
    """What became of a request to stop."""

    execution_id = serializers.UUIDField()
    state = serializers.ChoiceField(choices=STATES)


def event_document(entry: LogEntry) -> dict[str, object]:
    """One entry of the log as EventSerializer describes it."""
    return {
        "type": entry.type.value,
        "thread_id": entry.stream_id,
        "execution_id": entry.execution_id,
        "seq": entry.seq,
        "event_id": entry.event_uid,
        "at": entry.at,
        "data": entry.payload,
    }
