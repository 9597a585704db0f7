"""The admin's frame: names, colours, sidebar. Imported by the settings, so it loads no models."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.apps import apps
from django.conf import settings
from django.http import HttpRequest
from django.templatetags.static import static
from django.urls import reverse_lazy


def environment(_: HttpRequest) -> list[str] | None:
    """The mark at the top right: which kind of installation this is."""
    if settings.NETRA_DEMO:
        return ["Demo", "info"]
    return None if settings.PRODUCTION else ["Development", "warning"]


def _file(path: str) -> Callable[[HttpRequest], str]:
    """The address of a static file, asked for when the page is made."""

    def address(_: HttpRequest) -> str:
        return static(path)

    return address


def _item(title: str, icon: str, model: str, **more: object) -> dict[str, Any]:
    """One entry of the sidebar, for a model's list. Hidden from those who may not see it."""

    def permitted(request: HttpRequest) -> bool:
        from django.contrib import admin  # noqa: PLC0415 - not while the settings load

        known = apps.get_model(model)
        if not admin.site.is_registered(known):
            return False
        return bool(admin.site.get_model_admin(known).has_view_permission(request))

    name = model.lower().replace(".", "_")
    return {
        "title": title,
        "icon": icon,
        "link": reverse_lazy(f"admin:{name}_changelist"),
        "permission": permitted,
        **more,
    }


def _group(title: str, *items: dict[str, Any]) -> dict[str, Any]:
    return {"title": title, "separator": True, "items": list(items)}


NAVIGATION = [
    {
        "items": [
            {
                "title": "Overview",
                "icon": "monitoring",
                "link": reverse_lazy("admin:index"),
            },
        ]
    },
    _group(
        "Work",
        _item("Executions", "play_circle", "executions.Execution"),
        _item("Issues", "bug_report", "issues.Issue"),
        _item("Receipts", "receipt_long", "audits.Receipt"),
        _item("Conversations", "forum", "chat.Thread"),
        _item("Support access", "lock_open", "audits.AccessGrant"),
        _item("Trail", "history_edu", "audits.Entry"),
    ),
    _group(
        "Consumption",
        _item("Agents", "smart_toy", "agents.Agent"),
        _item("Usage", "bar_chart", "usage.Record"),
    ),
    _group(
        "Installation",
        _item("Breakers", "electrical_services", "executions.Breaker"),
        _item("Flags", "toggle_on", "core.Flag"),
    ),
    _group(
        "People",
        _item("Organisations", "apartment", "accounts.Organisation"),
        _item("Users", "person", "accounts.User"),
        _item("Memberships", "group", "accounts.Membership"),
        _item("Identity providers", "key", "accounts.IdentityProvider"),
        _item("Domains", "domain_verification", "accounts.Domain"),
        _item("Identities", "badge", "accounts.Identity"),
        _item("Sessions", "devices", "accounts.SignIn"),
        _item("API tokens", "token", "accounts.Token"),
        _item("Staff roles", "shield_person", "auth.Group"),
    ),
]

UNFOLD: dict[str, Any] = {
    "SITE_TITLE": "Netra",
    "SITE_HEADER": "Netra",
    "SITE_SUBHEADER": "Operations",
    "SITE_SYMBOL": "visibility",
    "SITE_FAVICONS": [
        {
            "rel": "icon",
            "type": "image/svg+xml",
            "href": _file("netra/icons/netra.svg"),
        }
    ],
    "SHOW_HISTORY": False,
    "SHOW_VIEW_ON_SITE": False,
    "SHOW_BACK_BUTTON": True,
    "BORDER_RADIUS": "6px",
    "ENVIRONMENT": "netra.unfold.environment",
    "STYLES": [
        _file("netra/tokens.css"),
        _file("netra/states.css"),
        _file("netra/admin/admin.css"),
        _file("netra/admin/inspector.css"),
        _file("netra/admin/support.css"),
    ],
    "SCRIPTS": [_file("netra/admin/admin.js")],
    "COMMAND": {"search_models": False, "show_history": False},
    "SIDEBAR": {
        "show_search": False,
        "command_search": False,
        "show_all_applications": False,
        "navigation": NAVIGATION,
    },
    # The accent of static/netra/tokens.css as a scale, and its quiet greys.
    "COLORS": {
        "primary": {
            "50": "#eff6fc",
            "100": "#dcecf8",
            "200": "#bddaf2",
            "300": "#93c6ef",
            "400": "#6cb4f0",
            "500": "#4097dc",
            "600": "#0b62a8",
            "700": "#0a558f",
            "800": "#0b4775",
            "900": "#0d3a5e",
            "950": "#09253d",
        },
        "base": {
            "50": "#f5f7fa",
            "100": "#edf0f4",
            "200": "#d5dae1",
            "300": "#c3cad3",
            "400": "#a3afbd",
            "500": "#66727f",
            "600": "#55606e",
            "700": "#303b47",
            "800": "#232c36",
            "900": "#0f141a",
            "950": "#0a0e13",
        },
    },
}
