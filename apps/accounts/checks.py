"""System checks of signing in: what can be known wrong before the first person comes."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, register
from django.core.checks import Warning as Caution

LIBRARY = "onelogin"


@register(Tags.security)
def check_saml(**_: Any) -> list[CheckMessage]:
    """SAML is asked for only where it is installed, and nobody is told that it works."""
    if not settings.NETRA_SAML:
        return []
    if find_spec(LIBRARY) is None:
        return [
            Error(
                "NETRA_SAML is on, and its library is not installed.",
                hint="Install the extra 'saml', or leave NETRA_SAML out. OpenID Connect needs neither.",
                id="netra.E201",
            )
        ]
    return [
        Caution(
            "NETRA_SAML is on, and this release signs nobody in through SAML: it is not yet tested.",
            hint="Use OpenID Connect, which Microsoft Entra, Google, Okta and Keycloak all offer.",
            id="netra.W201",
        )
    ]
