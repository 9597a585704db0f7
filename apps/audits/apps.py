"""App configuration of audits."""

from __future__ import annotations

from django.apps import AppConfig


class AuditsConfig(AppConfig):
    """What happened, and that tenants stayed apart."""

    name = "apps.audits"
    label = "audits"
