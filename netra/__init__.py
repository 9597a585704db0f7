"""The wiring: settings, URL tables, ASGI and Celery. The only place that knows every app."""

from __future__ import annotations
