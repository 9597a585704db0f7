"""The admin's hook for what is sensitive: who does it proved who they are just before."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.contrib import messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from unfold.admin import ModelAdmin

from apps.accounts.sessions.stepup import step_up, stepped_up

Action = Callable[[Any, HttpRequest, QuerySet[Any]], HttpResponse | None]


class SteppedUpAdmin(ModelAdmin):  # type: ignore[misc]  # unfold ships no types
    """Forms that open for whoever has confirmed who they are; looking needs nothing."""

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        writes = self.has_change_permission(request) or self.has_add_permission(request)
        if writes and not stepped_up(request):
            return asked(request)
        shown: HttpResponse = super().changeform_view(
            request, object_id, form_url, extra_context
        )
        return shown

    def delete_view(
        self,
        request: HttpRequest,
        object_id: str,
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        if not stepped_up(request):
            return asked(request)
        shown: HttpResponse = super().delete_view(request, object_id, extra_context)
        return shown


def confirmed(action: Action) -> Action:
    """An action of a list that asks for a fresh sign-in first; then it is chosen again."""

    @wraps(action)
    def guarded(
        model_admin: Any, request: HttpRequest, rows: QuerySet[Any]
    ) -> HttpResponse | None:
        if stepped_up(request):
            return action(model_admin, request, rows)
        return asked(request)

    return guarded


def asked(request: HttpRequest) -> HttpResponse:
    """The way to confirming that it is you; what was posted is done anew afterwards."""
    if request.method == "POST":
        messages.warning(request, "Confirm that it is you, then do it once more.")
    return step_up(request, request.get_full_path())
