"""App configuration of the wiring itself, for its commands."""

from __future__ import annotations

from django.apps import AppConfig


class NetraConfig(AppConfig):
    """The wiring."""

    name = "netra"
    label = "netra"
