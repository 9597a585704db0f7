"""App configuration of chat."""

from __future__ import annotations

from django.apps import AppConfig

from apps.core import sweeps


class ChatConfig(AppConfig):
    """Talks to people."""

    name = "apps.chat"
    label = "chat"

    def ready(self) -> None:
        from apps.chat import receivers, sweeper  # noqa: F401, PLC0415 - connects bells

        sweeps.register("chat.release_waiting", sweeper.release_waiting, every=5)
        sweeps.register("chat.forget_old_keys", sweeper.forget_old_keys, every=3600)
        forget = sweeper.forget_old_deliveries
        sweeps.register("chat.forget_old_deliveries", forget, every=60)
