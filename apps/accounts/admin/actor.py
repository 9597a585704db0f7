"""Who acts in the admin."""

from __future__ import annotations

from django.http import HttpRequest

from apps.accounts.models import User
from apps.core.actors import Actor


def actor(request: HttpRequest) -> Actor:
    """The member of staff who sent this request."""
    assert isinstance(request.user, User)
    return Actor.staff(request.user.pk, request.user.email)
