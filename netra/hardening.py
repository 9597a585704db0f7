"""What every answer tells browsers, whoever made it: no sniffing, no framing, no caching, no devices.

The content policy is django-csp's (settings.web), its exception for the admin ops.site's.
"""

from __future__ import annotations

from collections.abc import Callable

from django.conf import settings
from django.contrib.auth.signals import user_logged_out
from django.contrib.messages.storage.cookie import CookieStorage
from django.contrib.messages.storage.fallback import FallbackStorage
from django.contrib.messages.storage.session import SessionStorage
from django.dispatch import receiver
from django.http import HttpRequest, HttpResponseBase

# Passkeys and the copy button are what our pages use of a device; the rest stays shut.
OWN_FEATURES = (
    "clipboard-write",
    "fullscreen",
    "publickey-credentials-create",
    "publickey-credentials-get",
)
SHUT_FEATURES = (
    "accelerometer",
    "autoplay",
    "browsing-topics",
    "camera",
    "clipboard-read",
    "display-capture",
    "encrypted-media",
    "geolocation",
    "gyroscope",
    "hid",
    "identity-credentials-get",
    "idle-detection",
    "local-fonts",
    "magnetometer",
    "microphone",
    "midi",
    "payment",
    "screen-wake-lock",
    "serial",
    "storage-access",
    "usb",
    "xr-spatial-tracking",
)
PERMISSIONS = ", ".join(
    [f"{name}=(self)" for name in OWN_FEATURES]
    + [f"{name}=()" for name in SHUT_FEATURES]
)
HEADERS = {
    "Permissions-Policy": PERMISSIONS,
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": settings.SECURE_CROSS_ORIGIN_OPENER_POLICY,
    "Referrer-Policy": settings.SECURE_REFERRER_POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": settings.X_FRAME_OPTIONS,
}
NO_STORE = "no-store"
# Not "cookies": browsers would clear those of every host under the same domain.
AT_SIGN_OUT = '"cache", "storage"'
_SIGNED_OUT = "netra_signed_out"


class HeadersMiddleware:
    """Stands before all others, so that their refusals carry the same headers."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        return harden(request, self.get_response(request))


def harden(request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
    """Add what is missing. A view may say more than this, but not allow its page to be kept."""
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    if not request.path.startswith(settings.STATIC_URL) and (
        NO_STORE not in response.get("Cache-Control", "")
    ):
        response["Cache-Control"] = NO_STORE
    if getattr(request, _SIGNED_OUT, False):
        response["Clear-Site-Data"] = AT_SIGN_OUT
    return response


@receiver(user_logged_out)
def note_sign_out(request: HttpRequest | None, **_: object) -> None:
    """Whatever signed somebody out, this answer tells the browser to forget what it kept of us."""
    if request is not None:
        setattr(request, _SIGNED_OUT, True)


class HostCookieStorage(CookieStorage):
    """Messages in a cookie that no neighbouring host can set."""

    cookie_name = "__Host-messages"


class MessageStorage(FallbackStorage):
    """Django's own, with the cookie's better name. Only where TLS is on."""

    storage_classes = (HostCookieStorage, SessionStorage)
