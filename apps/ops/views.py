"""Pages that belong to no app below. `home` sends everybody where they belong."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect

from apps.accounts import refusals
from apps.core.errors import NotAllowedError


def home(request: HttpRequest) -> HttpResponse:
    """Signed out → the login page, staff → the admin, members → the chat."""
    if not request.user.is_authenticated:
        return redirect("account_login")
    if request.user.is_staff:
        return redirect("admin:index")
    if getattr(request, "principal", None) is None:
        return refusals.page(
            request, NotAllowedError("You belong to no active organisation.")
        )
    return redirect("chat:thread")
