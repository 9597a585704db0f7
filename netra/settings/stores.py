"""The database, and where hints between processes go."""

from __future__ import annotations

import sys
from typing import Any
from urllib.parse import urlsplit

import dj_database_url

from netra import env
from netra.settings.environment import NETRA_REDIS_URL, NETRA_VAR


def _database(value: str) -> dict[str, Any]:
    if urlsplit(value).scheme not in {"sqlite", "postgres", "postgresql"}:
        raise ValueError(value)
    return dict(dj_database_url.parse(value))


# Database: SQLite with WAL and IMMEDIATE by default, PostgreSQL with a pool on demand
DATABASES: dict[str, dict[str, Any]] = {
    "default": env.parsed(
        "NETRA_DATABASE_URL",
        f"sqlite:///{NETRA_VAR / 'netra.sqlite3'}",
        _database,
        form="sqlite:///path or postgres://user@host/name",
    )
}
# PostgreSQL: servers and workers log in as a role that owns nothing; what changes tables as another.
NETRA_DATABASE_ROLE = str(DATABASES["default"]["USER"])
NETRA_DATABASE_PASSWORD = str(DATABASES["default"]["PASSWORD"])
NETRA_OWNER_DATABASE_URL = env.optional("NETRA_OWNER_DATABASE_URL")
if NETRA_OWNER_DATABASE_URL and sys.argv[1:2] in (
    ["migrate"],
    ["prepare"],
    ["db_roles"],
):
    DATABASES["default"] = env.parsed(
        "NETRA_OWNER_DATABASE_URL", "", _database, form="postgres://user@host/name"
    )
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
    _DEFAULT["ENGINE"] = "apps.core.postgresql"
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
