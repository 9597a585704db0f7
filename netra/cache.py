"""The shared cache: Redis, and this process's own memory while Redis is away.

Rate limits and marks live here, nothing that matters: a page must not fail for want of a cache.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from django.core.cache.backends.locmem import LocMemCache
from django.core.cache.backends.redis import RedisCache
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

log = logging.getLogger(__name__)

PATIENCE = 1  # seconds that Redis gets


def _steady(name: str) -> Callable[..., Any]:
    ask_redis = getattr(RedisCache, name)

    def call(self: SteadyRedisCache, *given: Any, **named: Any) -> Any:
        try:
            answer = ask_redis(self, *given, **named)
        except (RedisError, OSError) as error:
            self.note(error)
            return getattr(self.near, name)(*given, **named)
        self.note(None)
        return answer

    return call


class SteadyRedisCache(RedisCache):
    """A cache that always answers."""

    def __init__(self, server: str, params: dict[str, Any]) -> None:
        limits = {
            "socket_timeout": PATIENCE,
            "socket_connect_timeout": PATIENCE,
            "retry": Retry(NoBackoff(), 1),
        }
        super().__init__(server, {**params, "OPTIONS": limits})
        self.near = LocMemCache("netra-while-redis-is-away", params)
        self.away = False

    add = _steady("add")
    get = _steady("get")
    set = _steady("set")
    touch = _steady("touch")
    delete = _steady("delete")
    get_many = _steady("get_many")
    has_key = _steady("has_key")
    incr = _steady("incr")
    set_many = _steady("set_many")
    delete_many = _steady("delete_many")
    clear = _steady("clear")

    def note(self, error: Exception | None) -> None:
        """Log that Redis went, and that it came back."""
        if (error is not None) == self.away:
            return
        self.away = error is not None
        log.warning(
            "the shared cache is %s",
            f"away: {error}" if error else "back",
            extra={"action": "cache.away" if error else "cache.back"},
        )
