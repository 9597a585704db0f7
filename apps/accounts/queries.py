"""Reads about organisations that other apps need."""

from __future__ import annotations

from django.db.models import QuerySet

from apps.accounts.models import Organisation


def canaries() -> QuerySet[Organisation]:
    """The organisations that exist for isolation audits only."""
    return Organisation.objects.filter(kind=Organisation.Kind.CANARY)
