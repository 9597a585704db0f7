"""Tags that every page uses: state badge, relative time."""

from __future__ import annotations

from django import template

register = template.Library()
