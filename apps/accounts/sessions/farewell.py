"""Leaving at the provider too (RP-initiated logout), where it says how. The local end is done before."""

from __future__ import annotations

import logging
from urllib.parse import urlencode, urlsplit

from django.conf import settings
from django.http import HttpRequest
from django.urls import reverse

from apps.accounts.admission import SignInRefusedError
from apps.accounts.models import IdentityProvider, SignIn
from apps.accounts.oidc.metadata import metadata_of

log = logging.getLogger(__name__)


def way_out(request: HttpRequest) -> str:
    """Where the provider ends its own session of whoever just left; empty where there is no way."""
    row = getattr(request, "sign_in", None)  # allauth asks before it ends the session
    if not isinstance(row, SignIn) or row.provider is None:
        return ""
    endpoint = _endpoint(row.provider)
    back = f"{settings.NETRA_PUBLIC_URL}{reverse('account_login')}"
    asked = {"client_id": row.provider.client_id, "post_logout_redirect_uri": back}
    joint = "&" if urlsplit(endpoint).query else "?"
    return f"{endpoint}{joint}{urlencode(asked)}" if endpoint else ""


def origin(provider: IdentityProvider | None) -> str:
    """What a page's policy must allow so that its form may lead to the provider's way out."""
    parts = urlsplit(_endpoint(provider) if provider else "")
    return f"{parts.scheme}://{parts.netloc}" if parts.netloc else ""


def _endpoint(provider: IdentityProvider) -> str:
    try:
        return metadata_of(provider).end_session_endpoint
    except SignInRefusedError as error:
        # Nobody stays signed in here because their provider does not answer.
        log.info("%s", error.message, extra={"action": "farewell.provider_away"})
        return ""
