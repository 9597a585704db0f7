"""All settings, each from the environment through a reader that fails loudly."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import dj_database_url

from apps.core import faults
from apps.core.keys import KeyStore, KeyStoreError
from netra import env
from netra.unfold import UNFOLD  # noqa: F401 - a setting

ROOT = Path(__file__).resolve().parent.parent


def _public_url(value: str) -> str:
    parts = urlsplit(value)
    if (
        parts.scheme not in {"http", "https"}
        or not parts.hostname
        or parts.path.strip("/")
    ):
        raise ValueError(value)
    return f"{parts.scheme}://{parts.netloc}"


def _redis_url(value: str) -> str:
    if value and urlsplit(value).scheme not in {"redis", "rediss", "unix"}:
        raise ValueError(value)
    return value


def _seconds(least: float, most: float) -> Callable[[str], float]:
    def checked(value: str) -> float:
        seconds = float(value)
        if not least <= seconds <= most:
            raise ValueError(value)
        return seconds

    return checked


def _days(value: str) -> int:
    if not 0 <= int(value) <= 36_500:
        raise ValueError(value)
    return int(value)


def _database(value: str) -> dict[str, Any]:
    if urlsplit(value).scheme not in {"sqlite", "postgres", "postgresql"}:
        raise ValueError(value)
    return dict(dj_database_url.parse(value))


# Where things lie
DEBUG = env.flag("NETRA_DEBUG", default=False)
NETRA_DEMO = env.flag("NETRA_DEMO", default=False)
NETRA_VAR = Path(env.text("NETRA_VAR", str(ROOT / "var"))).absolute()
NETRA_KEYS = Path(env.text("NETRA_KEYS", str(NETRA_VAR / "keys"))).absolute()
NETRA_MODEL = env.text("NETRA_MODEL", "offline")
NETRA_LIMITS = env.flag("NETRA_LIMITS", default=True)
NETRA_PUBLIC_URL = env.parsed(
    "NETRA_PUBLIC_URL",
    "http://127.0.0.1:8000",
    _public_url,
    form="http(s)://host[:port]",
)
NETRA_REDIS_URL = env.parsed(
    "NETRA_REDIS_URL",
    "",
    _redis_url,
    form="redis://host:port/number",
    hint="Leave it out for one process.",
)
NETRA_OIDC_URL = env.parsed(
    "NETRA_OIDC_URL", "http://127.0.0.1:9400", _public_url, form="http(s)://host[:port]"
)
# How long a runner may be silent before others take over, and how long it may finish at the end.
NETRA_LEASE_SECONDS = env.parsed(
    "NETRA_LEASE_SECONDS", "30", _seconds(3, 300), form="a number of seconds, 3 to 300"
)
NETRA_DRAIN_SECONDS = env.parsed(
    "NETRA_DRAIN_SECONDS", "60", _seconds(0, 60), form="a number of seconds, 0 to 60"
)
NETRA_EVENTS_DAYS = env.parsed(
    "NETRA_EVENTS_DAYS", "90", _days, form="a number of days, 0 to keep all"
)
_DATABASE_URL = env.text(
    "NETRA_DATABASE_URL", f"sqlite:///{NETRA_VAR / 'netra.sqlite3'}"
)

_LOCAL = {"127.0.0.1", "localhost", "::1"}
PRODUCTION = not DEBUG and urlsplit(NETRA_PUBLIC_URL).hostname not in _LOCAL
if PRODUCTION and NETRA_DEMO:
    raise env.ConfigurationError(
        "NETRA_DEMO=1 is refused when NETRA_PUBLIC_URL is a public address."
    )
if PRODUCTION and not NETRA_LIMITS:
    raise env.ConfigurationError(
        "NETRA_LIMITS=off is for benchmarks and refused in production."
    )
# Where a test wants this process to die (apps.core.faults)
NETRA_FAULT = env.parsed("NETRA_FAULT", "", faults.parsed, form=faults.FORM)
if NETRA_FAULT and (PRODUCTION or not env.flag("NETRA_TESTING", default=False)):
    raise env.ConfigurationError(
        "NETRA_FAULT is for tests: it needs NETRA_TESTING=1, and is refused in production."
    )

try:
    NETRA_VAR.mkdir(parents=True, exist_ok=True)
    KeyStore(NETRA_KEYS).ensure(may_create=not PRODUCTION)
    SECRET_KEY = (
        env.optional("NETRA_SECRET_KEY") or KeyStore(NETRA_KEYS).read("secret").decode()
    )
except KeyStoreError as error:
    raise env.ConfigurationError(f"NETRA_KEYS: {error}") from error
except OSError as error:
    raise env.ConfigurationError(
        f"NETRA_VAR is {str(NETRA_VAR)!r}, which cannot be made ({error.strerror}); it must be "
        "a folder that may be written."
    ) from error

ALLOWED_HOSTS = env.words("NETRA_ALLOWED_HOSTS") or [
    *sorted(_LOCAL),
    str(urlsplit(NETRA_PUBLIC_URL).hostname),
]
CSRF_TRUSTED_ORIGINS = [NETRA_PUBLIC_URL]

INSTALLED_APPS = [
    "daphne",
    "apps.core",
    "apps.audits",
    "apps.accounts",
    "apps.executions",
    "apps.usage",
    "apps.agents",
    "apps.chat",
    "apps.issues",
    "apps.ops",
    "netra",
    "unfold.apps.BasicAppConfig",  # the default one would put its own admin site in place of ours
    "unfold.contrib.filters",
    "unfold.contrib.forms",
    "netra.admin.NetraAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "allauth",
    "allauth.account",
    "allauth.socialaccount",
    "allauth.socialaccount.providers.openid_connect",
    "allauth.mfa",
    "rest_framework",
    "drf_spectacular",
    "csp",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "apps.accounts.middleware.PrincipalMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
ROOT_URLCONF = "netra.urls"
ASGI_APPLICATION = "netra.asgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [ROOT / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
            "builtins": [
                "apps.core.templatetags.netra",
                "apps.executions.templatetags.states",
            ],
        },
    }
]

# Database: SQLite with WAL and IMMEDIATE by default, PostgreSQL with a pool on demand
DATABASES: dict[str, dict[str, Any]] = {
    "default": env.parsed(
        "NETRA_DATABASE_URL",
        _DATABASE_URL,
        _database,
        form="sqlite:///path or postgres://user@host/name",
    )
}
_DEFAULT = DATABASES["default"]
SQLITE = _DEFAULT["ENGINE"].endswith("sqlite3")
if SQLITE and NETRA_REDIS_URL:
    raise env.ConfigurationError(
        "NETRA_REDIS_URL is set while NETRA_DATABASE_URL is SQLite; several processes need "
        "postgres://… Leave NETRA_REDIS_URL out, or name a PostgreSQL database."
    )
if SQLITE:
    _DEFAULT["ENGINE"] = "apps.core.sqlite"
    _DEFAULT["CONN_MAX_AGE"] = None
    _DEFAULT["OPTIONS"] = {
        "transaction_mode": "IMMEDIATE",
        "timeout": 10,
        "init_command": "PRAGMA journal_mode=WAL;PRAGMA synchronous=NORMAL;"
        "PRAGMA journal_size_limit=67108864;PRAGMA temp_store=MEMORY;"
        # Of all connections only the server's writer carries the log over (apps.core.writer).
        "PRAGMA wal_autocheckpoint=0;",
    }
else:
    _DEFAULT["CONN_MAX_AGE"] = 0
    _DEFAULT["CONN_HEALTH_CHECKS"] = True
    _DEFAULT["OPTIONS"] = {
        **_DEFAULT.get("OPTIONS", {}),  # sslmode and the like, from the address
        # Enough for all readers and writers of apps.core.database, the sweeper, and pages beside.
        "pool": {"min_size": 1, "max_size": 20, "max_lifetime": 1800}
        | {"timeout": 5, "reconnect_timeout": 5},
        "application_name": " ".join(("netra", *sys.argv[1:2]))[:60],
        "connect_timeout": 5,
        "options": "-c statement_timeout=15s -c lock_timeout=3s "
        "-c idle_in_transaction_session_timeout=30s",
    }
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
ATOMIC_REQUESTS = False

# Hints between processes
if NETRA_REDIS_URL:
    CACHES = {
        "default": {
            "BACKEND": "netra.cache.SteadyRedisCache",
            "LOCATION": NETRA_REDIS_URL,
            "KEY_PREFIX": "netra",
        }
    }
    CHANNEL_LAYERS: dict[str, Any] = {
        "default": {
            "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
            "CONFIG": {
                "hosts": [NETRA_REDIS_URL],
                # Publish and subscribe know no database numbers: keep installations apart.
                "prefix": f"netra{urlsplit(NETRA_REDIS_URL).path.replace('/', '.')}.",
            },
        }
    }
else:
    CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
    CHANNEL_LAYERS = {}

# People
AUTH_USER_MODEL = "accounts.User"
AUTHENTICATION_BACKENDS = ["allauth.account.auth_backends.AuthenticationBackend"]
AUTH_PASSWORD_VALIDATORS = [
    {
        "NAME": "django.contrib.auth.password_validation.MinimumLengthValidator",
        "OPTIONS": {"min_length": 12},
    },
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "/"
ACCOUNT_ADAPTER = "apps.accounts.adapter.AccountAdapter"
SOCIALACCOUNT_ADAPTER = "apps.accounts.adapter.SocialAdapter"
ACCOUNT_LOGIN_METHODS = {"email"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "password1*", "password2*"]
ACCOUNT_USER_MODEL_USERNAME_FIELD = None
ACCOUNT_UNIQUE_EMAIL = True
ACCOUNT_PREVENT_ENUMERATION = True
ACCOUNT_EMAIL_VERIFICATION = "mandatory"
ACCOUNT_SESSION_REMEMBER = False
ACCOUNT_LOGOUT_REDIRECT_URL = "/accounts/login/"
SOCIALACCOUNT_LOGIN_ON_GET = False
SOCIALACCOUNT_STORE_TOKENS = False
SOCIALACCOUNT_EMAIL_AUTHENTICATION = False
SOCIALACCOUNT_PROVIDERS = {"openid_connect": {"OAUTH_PKCE_ENABLED": True}}
if not NETRA_LIMITS:
    ACCOUNT_RATE_LIMITS = False
MFA_SUPPORTED_TYPES = ["webauthn", "totp", "recovery_codes"]
EMAIL_BACKEND = "django.core.mail.backends.console.EmailBackend"

# Web
SECURE_COOKIES = urlsplit(NETRA_PUBLIC_URL).scheme == "https"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE_SSL_REDIRECT = SECURE_COOKIES
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
SECURE_REDIRECT_EXEMPT = ["^healthz$", "^readyz$"]  # probes speak plain HTTP
SECURE_HSTS_SECONDS = 31_536_000 if SECURE_COOKIES else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = SECURE_COOKIES
SECURE_PROXY_SSL_HEADER = (
    ("HTTP_X_FORWARDED_PROTO", "https") if SECURE_COOKIES else None
)
X_FRAME_OPTIONS = "DENY"
DATA_UPLOAD_MAX_MEMORY_SIZE = 2 * 1024 * 1024
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
LANGUAGE_CODE = "en-gb"
TIME_ZONE = "UTC"
USE_TZ = True

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "apps.accounts.authentication.TokenAuthentication",
        "apps.accounts.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "netra.api.problem",
    "UNAUTHENTICATED_USER": None,
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Netra",
    "DESCRIPTION": "Chat with agents about your company's AI usage, and inspect what they did.",
    "VERSION": "1",
    "SERVE_INCLUDE_SCHEMA": False,
    "SCHEMA_PATH_PREFIX": "/api/v1",
    "ENUM_NAME_OVERRIDES": {
        "ExecutionState": "apps.executions.serializers.STATES",
        "IssueStatus": "apps.issues.models.Issue.Status",
        "CallStatus": "apps.usage.models.Record.Status",
        "WhileBusy": "apps.agents.catalogue.POLICIES",
    },
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "netra.api_docs.add_problems",
    ],
}

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "json": {"()": "apps.core.logs.JsonFormatter"},
        "plain": {"format": "%(levelname)s %(name)s: %(message)s"},
    },
    "filters": {"sync_iterators": {"()": "apps.core.logs.QuietSyncIterators"}},
    "handlers": {
        "stderr": {
            "class": "logging.StreamHandler",
            "formatter": "json" if PRODUCTION else "plain",
        }
    },
    # The relay says once that Redis is away, and once that it is back.
    # The pool would tell of each attempt while PostgreSQL is away; whoever waits for it tells.
    "loggers": {
        "channels_redis.pubsub": {"level": "CRITICAL"},
        "psycopg.pool": {"level": "ERROR"},
    },
    "root": {
        "handlers": ["stderr"],
        "level": os.environ.get("NETRA_LOG_LEVEL", "WARNING").upper(),
    },
}
