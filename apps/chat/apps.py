"""App configuration of chat."""

from __future__ import annotations

from django.apps import AppConfig


class ChatConfig(AppConfig):
    """Talks to people."""

    name = "apps.chat"
    label = "chat"

    def ready(self) -> None:
        from apps.chat import receivers  # noqa: F401, PLC0415 - connects bells and projectors
