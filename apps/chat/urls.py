"""Pages of chat."""

from __future__ import annotations

from django.urls import path

from apps.chat import views

app_name = "chat"
urlpatterns = [
    path("", views.thread, name="thread"),
    path("<uuid:thread_id>/", views.thread, name="thread"),
]
