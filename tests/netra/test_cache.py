"""The shared cache answers while Redis is away, says so once, and keeps counting."""

from __future__ import annotations

import logging
import socket

import pytest

from netra.cache import SteadyRedisCache


@pytest.fixture
def cache() -> SteadyRedisCache:
    """A cache whose Redis is not there."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    return SteadyRedisCache(f"redis://127.0.0.1:{port}/0", {"KEY_PREFIX": "t"})


def test_without_redis_a_limit_still_counts_in_this_process(
    cache: SteadyRedisCache,
) -> None:
    cache.clear()

    assert cache.add("k", 1, 60) is True
    assert cache.add("k", 1, 60) is False
    assert cache.incr("k") == 2
    assert cache.get("k") == 2
    assert cache.delete("k") is True
    assert cache.get("k", "nothing") == "nothing"


def test_its_absence_is_logged_once(
    cache: SteadyRedisCache, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            cache.get("k")
        cache.note(None)

    assert [r.action for r in caplog.records] == ["cache.away", "cache.back"]
