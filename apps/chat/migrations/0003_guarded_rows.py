"""Conversations are seen in their organisation's scope; messages, by staff under a grant only. PostgreSQL only."""

from __future__ import annotations

from django.db import migrations

from apps.core.policies import Bind, Identify, contents, structures


class Migration(migrations.Migration):
    dependencies = [("chat", "0002_deliveries"), ("audits", "0002_trail_and_grants")]
    operations = [
        structures("chat_thread", "chat_idempotencykey", "chat_delivery"),
        contents("chat_message"),
        Identify("chat_thread"),
        Bind("chat_message", thread_id="chat_thread"),
        Bind("chat_delivery", thread_id="chat_thread"),
    ]
