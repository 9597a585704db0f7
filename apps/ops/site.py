"""The admin site: who may enter, under which policy, and which pages ops adds to it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from csp.decorators import csp_replace
from django.conf import settings
from django.contrib.auth import logout
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from unfold.sites import UnfoldAdminSite

View = Callable[..., HttpResponseBase]

# The one written exception from the strict policy: Unfold's scripts evaluate the expressions in
# its templates, and its templates carry inline styles. Nothing else is loosened.
ADMIN_POLICY = {
    "script-src": ["'self'", "'unsafe-eval'"],
    "style-src": ["'self'", "'unsafe-inline'"],
    "require-trusted-types-for": None,
    "trusted-types": None,
}


class NetraAdminSite(UnfoldAdminSite):  # type: ignore[misc]  # unfold ships no types
    """Where support lives."""

    site_title = "Netra"
    site_header = "Netra"
    index_title = "Overview"
    enable_nav_sidebar = True

    def admin_view(self, view: View, cacheable: bool = False) -> View:  # noqa: FBT001, FBT002 - Django's signature
        inner: View = super().admin_view(view, cacheable)
        return csp_replace(ADMIN_POLICY)(inner)

    def login(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """There is one login page for everybody; whoever is signed in and no staff gets a 403."""
        following = request.GET.get("next") or reverse("admin:index")
        if not request.user.is_authenticated:
            return redirect_to_login(following, settings.LOGIN_URL)
        if not self.has_permission(request):
            raise PermissionDenied("The admin is for Netra's staff.")
        return redirect("admin:index")

    def logout(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        if request.method == "POST":
            logout(request)
        return redirect(settings.LOGIN_URL)

    def index(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> TemplateResponse:
        from apps.ops import dashboard  # noqa: PLC0415 - the site is made before models load

        figures = dashboard.context(request)
        page: TemplateResponse = super().index(
            request, {**(extra_context or {}), **figures}
        )
        return page

    def extra_urls(self) -> list[URLPattern]:
        """Pages of ops, before those of the plain admins that they replace."""
        from apps.ops import (  # noqa: PLC0415 - the site is made before models load
            disclosure,
            inspector,
            support,
        )

        base = "executions/execution/<path:object_id>/"
        return [
            path(
                f"{base}change/",
                self.admin_view(inspector.page),
                name="executions_execution_change",
            ),
            path(
                f"{base}live/",
                self.admin_view(inspector.live),
                name="executions_execution_live",
            ),
            path(
                "executions/execution/<uuid:object_id>/content/",
                self.admin_view(disclosure.execution_content),
                name="support_execution_content",
            ),
            path(
                "chat/thread/<uuid:object_id>/content/",
                self.admin_view(disclosure.thread_content),
                name="support_thread_content",
            ),
            path(
                "support/ask/<slug:kind>/<uuid:object_id>/",
                self.admin_view(support.ask),
                name="support_ask",
            ),
            path(
                "audits/accessgrant/<path:object_id>/change/",
                self.admin_view(support.grant_page),
                name="audits_accessgrant_change",
            ),
            path(
                "support/grants/<uuid:object_id>/<slug:verb>/",
                self.admin_view(support.decide),
                name="support_decide",
            ),
        ]
