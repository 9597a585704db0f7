"""How often one person may do at the API what costs more than reading. Sign-in has allauth's limits."""

from __future__ import annotations

from django.conf import settings
from rest_framework.request import Request
from rest_framework.throttling import SimpleRateThrottle
from rest_framework.views import APIView

from apps.accounts.access import Principal
from apps.core.tenancy import topic


class TokenMinting(SimpleRateThrottle):
    """New tokens in an hour, whichever door their owner came through."""

    def get_rate(self) -> str:
        return str(settings.NETRA_TOKENS_RATE)

    def get_cache_key(self, request: Request, view: APIView) -> str | None:  # noqa: ARG002 - DRF's signature
        who = request.auth
        if not settings.NETRA_LIMITS or not isinstance(who, Principal):
            return None
        return topic(who.organisation_id, "minting", who.user_id.hex)
