"""Threads and messages. A thread's id is also its stream's id."""

from __future__ import annotations

import uuid

from django.conf import settings
from django.db import models
from django.db.models import Q

from apps.core.content import ContentCharField, ContentTextField
from apps.core.tenancy import TenantModel


class Thread(TenantModel):
    """One conversation of one person."""

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+"
    )
    title = ContentCharField(max_length=120, blank=True)
    archived = models.BooleanField(default=False)
    created_at = models.DateTimeField()
    updated_at = models.DateTimeField()

    class Meta(TenantModel.Meta):
        ordering = ["-updated_at"]
        indexes = [
            # queries.threads_of: a person's newest threads
            models.Index(
                fields=["organisation", "user", "-updated_at"],
                name="chat_threads_of_person",
            ),
        ]

    def __str__(self) -> str:
        return f"thread {self.pk}"


class Message(TenantModel):
    """What a person or an agent said."""

    class Role(models.TextChoices):
        USER = "user", "User"
        ASSISTANT = "assistant", "Assistant"

    thread = models.ForeignKey(
        Thread, on_delete=models.CASCADE, related_name="messages"
    )
    role = models.CharField(max_length=16, choices=Role)
    text = ContentTextField()
    client_id = models.CharField(max_length=128, blank=True)
    agent = models.CharField(max_length=64, blank=True)
    execution_id = models.UUIDField(null=True)
    partial = models.BooleanField(
        default=False, help_text="The agent did not finish it."
    )
    created_at = models.DateTimeField()

    class Meta(TenantModel.Meta):
        ordering = ["created_at"]
        constraints = [
            models.UniqueConstraint(
                fields=["execution_id"],
                condition=Q(role="assistant"),
                name="chat_message_one_reply_per_execution",
            ),
            models.CheckConstraint(
                condition=Q(role__in=["user", "assistant"]),
                name="chat_message_role_known",
            ),
            models.CheckConstraint(
                condition=~Q(text=""), name="chat_message_text_present"
            ),
            models.CheckConstraint(
                condition=Q(partial=False) | Q(role="assistant"),
                name="chat_message_only_replies_partial",
            ),
        ]
        indexes = [
            # queries.history: the newest messages of a thread
            models.Index(fields=["thread", "-created_at"], name="chat_messages_newest"),
        ]

    def __str__(self) -> str:
        return f"{self.role} message {self.pk}"


class IdempotencyKey(TenantModel):
    """The answer that was given to a client's message id, kept seven days."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+"
    )
    key = models.CharField(max_length=128)
    body_digest = models.CharField(max_length=64)
    answer = models.JSONField()
    created_at = models.DateTimeField()

    class Meta(TenantModel.Meta):
        constraints = [
            models.UniqueConstraint(
                fields=["organisation", "user", "key"], name="chat_key_once_per_person"
            ),
            models.CheckConstraint(condition=~Q(key=""), name="chat_key_present"),
        ]
        indexes = [
            # actions.forget_keys: what is older than seven days
            models.Index(fields=["created_at"], name="chat_keys_by_age"),
        ]

    def __str__(self) -> str:
        return self.key


class Delivery(TenantModel):
    """How far one connection got in one thread: what was sent to it, what it says was shown.

    No foreign keys to the connection: it lives in a process's memory, and this outlives it.
    """

    thread = models.ForeignKey(
        Thread, on_delete=models.CASCADE, related_name="deliveries"
    )
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+"
    )
    connection_id = models.UUIDField()
    door = models.CharField(max_length=16, help_text="websocket or sse")
    began_after = models.PositiveBigIntegerField(
        help_text="The number after which this connection asked to be told."
    )
    sent_to = models.PositiveBigIntegerField(default=0)
    sent_at = models.DateTimeField(null=True)
    acknowledged_to = models.PositiveBigIntegerField(default=0)
    acknowledged_at = models.DateTimeField(null=True)
    opened_at = models.DateTimeField()
    closed_at = models.DateTimeField(null=True)
    close_code = models.PositiveSmallIntegerField(null=True)

    class Meta(TenantModel.Meta):
        ordering = ["opened_at"]
        verbose_name_plural = "deliveries"
        constraints = [
            models.UniqueConstraint(
                fields=["connection_id", "thread"], name="chat_delivery_once_per_thread"
            ),
            models.CheckConstraint(
                condition=Q(acknowledged_to__lte=models.F("sent_to")),
                name="chat_delivery_acknowledged_was_sent",
            ),
            models.CheckConstraint(
                condition=Q(door__in=["websocket", "sse"]),
                name="chat_delivery_door_known",
            ),
        ]
        indexes = [
            # ledger.of_thread, and forgetting old ones
            models.Index(
                fields=["thread", "-opened_at"], name="chat_deliveries_of_thread"
            ),
            models.Index(fields=["opened_at"], name="chat_deliveries_by_age"),
        ]

    def __str__(self) -> str:
        return f"sent to {self.sent_to}, acknowledged to {self.acknowledged_to}"
