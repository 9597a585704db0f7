"""Threads and messages as the API shows them, and what it takes."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from apps.agents.catalogue import POLICIES
from apps.chat.models import Message, Thread
from apps.executions.serializers import STATES, EventPageSerializer


class ThreadSerializer(serializers.ModelSerializer[Thread]):
    """A conversation in a list."""

    title = serializers.CharField(
        max_length=120, allow_blank=True, required=False, allow_null=True
    )
    archived = serializers.BooleanField(required=False)

    class Meta:
        model = Thread
        fields: tuple[str, ...] = (
            "id",
            "title",
            "archived",
            "created_at",
            "updated_at",
        )
        read_only_fields = ("created_at", "updated_at")


class ListedThreadSerializer(ThreadSerializer):
    """A conversation with the state of its newest execution."""

    last_state = serializers.ChoiceField(choices=STATES, allow_null=True)

    class Meta(ThreadSerializer.Meta):
        fields = (*ThreadSerializer.Meta.fields, "last_state")


class ThreadDetailSerializer(ThreadSerializer):
    """A conversation with the position of its log, from where to subscribe."""

    epoch = serializers.UUIDField()
    last_seq = serializers.IntegerField()

    class Meta(ThreadSerializer.Meta):
        fields = (*ThreadSerializer.Meta.fields, "epoch", "last_seq")


class MessageSerializer(serializers.ModelSerializer[Message]):
    """What a person or an agent said."""

    class Meta:
        model = Message
        fields = (
            "id",
            "role",
            "text",
            "agent",
            "execution_id",
            "partial",
            "client_id",
            "created_at",
        )


class QuestionSerializer(serializers.Serializer[Any]):
    """A question. Its text may also be called content, message or query."""

    text = serializers.CharField(max_length=32_000)
    agent = serializers.CharField(max_length=64, required=False, allow_null=True)
    metadata = serializers.DictField(required=False, allow_null=True)


class AskedSerializer(serializers.Serializer[Any]):
    """The question was written; the agent works on it."""

    message_id = serializers.UUIDField()
    execution_id = serializers.UUIDField()
    thread_id = serializers.UUIDField()
    seq = serializers.IntegerField(help_text="Where the question stands in the log.")
    queued = serializers.BooleanField(
        help_text="It waits for what was asked before it in the conversation."
    )
    policy = serializers.ChoiceField(
        choices=POLICIES,
        help_text="What the agent does with a question that comes while it answers.",
    )
    duplicate = serializers.BooleanField()


class FailureSerializer(serializers.Serializer[Any]):
    """Why there is no whole answer."""

    code = serializers.CharField()
    message = serializers.CharField()
    fix = serializers.CharField()
    receipt_id = serializers.UUIDField(allow_null=True)
    retryable = serializers.BooleanField()


class AnsweredSerializer(AskedSerializer):
    """How a question that was waited for ended. `text` is the answer, or what was kept of it."""

    state = serializers.ChoiceField(choices=STATES)
    text = serializers.CharField()
    answer = MessageSerializer(allow_null=True)
    error = FailureSerializer(allow_null=True)


class ThreadEventPageSerializer(EventPageSerializer):
    """A page of a thread's log, and how far the log reaches."""

    epoch = serializers.UUIDField()
    first_kept = serializers.IntegerField()
    last_seq = serializers.IntegerField()
