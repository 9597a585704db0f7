"""HTTP: which path leads to which door."""

from __future__ import annotations

from django.contrib import admin
from django.urls import include, path

from apps.ops import trails, trust
from apps.ops.health import healthz, metrics, readyz
from apps.ops.views import home

urlpatterns = [
    path("", home, name="home"),
    path("admin/", admin.site.urls),
    path("accounts/", include("apps.accounts.urls")),
    path("chat/", include("apps.chat.urls")),
    path("trust/", trust.page, name="trust"),
    path("trust/trail.ndjson", trails.trail_export, name="trail_export"),
    path("trust/<uuid:grant_id>/<slug:verb>/", trust.decide, name="trust_decide"),
    path("api/v1/", include("netra.api_urls")),
    path("scim/v2/", include("apps.accounts.scim.urls")),
    path("healthz", healthz),
    path("readyz", readyz),
    path("metrics", metrics),
]
handler400 = "netra.api.bad_request"
handler403 = "netra.api.forbidden"
handler404 = "netra.api.not_found"
handler429 = "netra.api.too_many"  # allauth asks for it
handler500 = "netra.api.server_error"
