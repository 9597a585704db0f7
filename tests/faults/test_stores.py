"""The services that faults are done to: they start, freeze, die and come back with their data."""

from __future__ import annotations

import psycopg
import pytest
import redis

from tests.faults.stores import Postgres, Redis, Store
from tests.live.cluster import AbsentError

pytestmark = [
    pytest.mark.faults,
    pytest.mark.live,
    pytest.mark.xdist_group("faults-stores"),
]


@pytest.fixture(scope="module")
def own():
    try:
        with Postgres() as postgres, Redis() as redis_server:
            yield postgres, redis_server
    except AbsentError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("immediate", [False, True])
def test_postgresql_comes_back_with_what_was_committed(own, immediate: bool) -> None:
    postgres, _ = own
    with psycopg.connect(postgres.url, autocommit=True) as before:
        before.execute("CREATE TABLE IF NOT EXISTS kept AS SELECT 1 AS n")

        postgres.restart(immediate=immediate)

        with pytest.raises(psycopg.OperationalError):
            before.execute("SELECT 1")
    with psycopg.connect(postgres.url) as after:
        assert after.execute("SELECT n FROM kept").fetchall() == [(1,)]


def test_a_frozen_postgresql_answers_nobody_until_it_is_thawed(own) -> None:
    postgres, _ = own
    with postgres.frozen():
        assert not postgres.answers()

    assert postgres.answers()


def test_redis_forgets_when_it_is_killed(own) -> None:
    _, server = own
    with redis.Redis.from_url(server.url) as client:
        client.set("x", 1)

    server.kill()
    assert not server.answers()
    server.start()

    with redis.Redis.from_url(server.url) as client:
        assert client.get("x") is None


def test_nothing_is_left_when_a_service_ends(own) -> None:
    service: Store
    with Redis() as service:
        pid, folder = service._process.pid, service.folder  # type: ignore[union-attr]

    import psutil

    assert not psutil.pid_exists(pid)
    assert not folder.exists()
