"""What is logged, and how."""

from __future__ import annotations

import os
from typing import Any

from netra.settings.environment import PRODUCTION

LOGGING: dict[str, Any] = {
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
