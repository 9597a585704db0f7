"""HTTP: which path leads to which door."""

from __future__ import annotations

from django.contrib import admin
from django.urls import include, path

from apps.ops.health import healthz, metrics, readyz
from apps.ops.views import home

urlpatterns = [
    path("", home, name="home"),
    path("admin/", admin.site.urls),
    path("accounts/", include("apps.accounts.urls")),
    path("chat/", include("apps.chat.urls")),
    path("api/v1/", include("netra.api_urls")),
    path("healthz", healthz),
    path("readyz", readyz),
    path("metrics", metrics),
]
handler400 = "netra.api.bad_request"
handler403 = "netra.api.forbidden"
handler404 = "netra.api.not_found"
handler500 = "netra.api.server_error"
