"""WebSocket paths of chat."""

from __future__ import annotations

from typing import Any

from django.urls import path

from apps.chat.consumers import ChatConsumer

# Django's path() is typed for views only; Channels' router takes ASGI applications.
consumer: Any = ChatConsumer.as_asgi()
websocket_urlpatterns: list[Any] = [path("ws/chat/", consumer)]
