"""Cookies, proxies, limits of requests, policies and static files."""

from __future__ import annotations

from urllib.parse import urlsplit

from netra import env
from netra.settings.environment import (
    NETRA_DEMO,
    NETRA_OIDC_URL,
    NETRA_PUBLIC_URL,
    NETRA_VAR,
    PRODUCTION,
    ROOT,
)


def _proxies(value: str) -> int:
    if not 0 <= int(value) <= 9:
        raise ValueError(value)
    return int(value)


# Transport. Netra speaks no TLS itself: an https address means that a proxy stands before it.
SECURE_COOKIES = urlsplit(NETRA_PUBLIC_URL).scheme == "https"
NETRA_PROXIES = env.parsed(
    "NETRA_PROXIES",
    "1" if SECURE_COOKIES else "0",
    _proxies,
    form="how many proxies stand before Netra, 0 to 9",
    hint="Each must add to X-Forwarded-For and set X-Forwarded-Proto.",
)
ALLAUTH_TRUSTED_PROXY_COUNT = NETRA_PROXIES
# Without proxies of ours these headers are a visitor's own words. X-Forwarded-Host always is.
SECURE_PROXY_SSL_HEADER = (
    ("HTTP_X_FORWARDED_PROTO", "https") if SECURE_COOKIES and NETRA_PROXIES else None
)
USE_X_FORWARDED_HOST = USE_X_FORWARDED_PORT = False
SECURE_SSL_REDIRECT = SECURE_COOKIES
SECURE_REDIRECT_EXEMPT = ["^healthz$", "^readyz$"]  # probes speak plain HTTP
SECURE_HSTS_SECONDS = 31_536_000 if SECURE_COOKIES else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = SECURE_COOKIES

# Cookies. Browsers take `__Host-` only with Secure, Path=/ and without Domain: no neighbour sets ours.
_HOST = "__Host-" if SECURE_COOKIES else ""
SESSION_ENGINE = "apps.accounts.session_store"
SESSION_COOKIE_NAME = f"{_HOST}sessionid"
CSRF_COOKIE_NAME = f"{_HOST}csrftoken"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE_COOKIES
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_PATH = CSRF_COOKIE_PATH = "/"
SESSION_COOKIE_DOMAIN = CSRF_COOKIE_DOMAIN = None
MESSAGE_STORAGE = (
    "netra.hardening.MessageStorage"
    if SECURE_COOKIES
    else ("django.contrib.messages.storage.fallback.FallbackStorage")
)

# What a request may carry. netra.asgi counts bytes and headers before Django reads them.
DATA_UPLOAD_MAX_MEMORY_SIZE = 2 * 1024 * 1024
DATA_UPLOAD_MAX_NUMBER_FIELDS = 500  # a list of the admin sends one for each chosen row
DATA_UPLOAD_MAX_NUMBER_FILES = 1  # nothing of Netra takes files
NETRA_HEADERS_MAX = 100
NETRA_HEADER_BYTES_MAX = 32 * 1024
NETRA_BODY_SECONDS = 60.0

# What browsers are told
X_FRAME_OPTIONS = "DENY"
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
SECURE_CROSS_ORIGIN_OPENER_POLICY = "same-origin"
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": ["'none'"],
        "script-src": ["'self'"],
        "style-src": ["'self'"],
        "img-src": ["'self'", "data:"],
        "font-src": ["'self'"],
        "connect-src": ["'self'"],
        "base-uri": ["'none'"],
        "form-action": ["'self'", NETRA_OIDC_URL] if NETRA_DEMO else ["'self'"],
        "frame-ancestors": ["'none'"],
        "object-src": ["'none'"],
        "require-trusted-types-for": ["'script'"],
        "trusted-types": ["dompurify"],
    }
}
STATIC_URL = "/static/"
STATIC_ROOT = NETRA_VAR / "staticfiles"
STATICFILES_DIRS = [ROOT / "static"]
WHITENOISE_USE_FINDERS = True
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": "netra.static.HashedStaticFiles"
        if PRODUCTION
        else "django.contrib.staticfiles.storage.StaticFilesStorage"
    },
}
