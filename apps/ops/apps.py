"""App configuration of ops."""

from __future__ import annotations

from django.apps import AppConfig


class OpsConfig(AppConfig):
    """The operations portal."""

    name = "apps.ops"
    label = "ops"
