"""Organisations, people and guards that all tests share.

Rolled-back tests ask for `acme`, `alice` and so on; tests whose threads must see the rows ask for
`committed` as well.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Iterator

import pytest
from django.core.cache import caches
from django.core.cache.backends.locmem import LocMemCache
from django.db import connection

from apps.accounts.access import Principal
from apps.accounts.models import Organisation, User
from apps.core import database, flags
from apps.core.hub import Hub, hub
from tests import factories, guards, roles

LOOPBACK = ("127.", "::1", "localhost", "0.0.0.0")  # noqa: S104 - compared, never bound
DATABASE_FIXTURES = {
    "db",
    "transactional_db",
    "_django_db_helper",
    "django_db_blocker",
    "live_server",
    "committed",
}


# -- guards --------------------------------------------------------------------------


class OutsideError(RuntimeError):
    """A test tried to reach a machine that is not this one."""


def _refuse_outside(host: object) -> None:
    name = host.decode() if isinstance(host, bytes) else host
    if isinstance(name, str) and name and not name.startswith(LOOPBACK):
        raise OutsideError(f"a test may not reach {name!r}; only this machine")


@pytest.fixture(autouse=True, scope="session")
def no_network() -> Iterator[None]:
    """No connection and no name look-up outside loopback."""
    connect, connect_ex, look_up = (
        socket.socket.connect,
        socket.socket.connect_ex,
        socket.getaddrinfo,
    )

    def guarded_connect(self, address):
        if self.family in {socket.AF_INET, socket.AF_INET6}:
            _refuse_outside(address[0])
        return connect(self, address)

    def guarded_connect_ex(self, address):
        if self.family in {socket.AF_INET, socket.AF_INET6}:
            _refuse_outside(address[0])
        return connect_ex(self, address)

    def guarded_look_up(host, *rest, **options):
        _refuse_outside(host)
        return look_up(host, *rest, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", guarded_connect)
        patch.setattr(socket.socket, "connect_ex", guarded_connect_ex)
        patch.setattr(socket, "getaddrinfo", guarded_look_up)
        yield


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker) -> Iterator[None]:
    """On PostgreSQL row-level security holds the tests too, and what some thread left open goes."""
    if connection.vendor != "postgresql":
        yield
        return
    with pytest.MonkeyPatch.context() as patch:
        with django_db_blocker.unblock():
            roles.step_down(connection)
        patch.setattr(type(connection.ops), "execute_sql_flush", _emptied)
        yield
    with django_db_blocker.unblock():
        roles.step_up(connection)
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )


def _emptied(_: object, statements: list[str]) -> None:
    roles.empty(statements)


@pytest.fixture(autouse=True)
def no_threads_left() -> Iterator[None]:
    """Database threads, the hub's loop, its watchers and the flags end with the test that used them."""
    yield
    database.close()
    hub.unbind()
    hub._watchers.clear()
    flags.forget()


@pytest.fixture(autouse=True, scope="session")
def tables_can_be_emptied() -> Iterator[None]:
    """The trail's guards keep its rows from whoever empties tables; between tests they are lifted."""
    with pytest.MonkeyPatch.context() as patch:
        guards.lift_while_emptying(patch)
        yield


@pytest.fixture(autouse=True)
def limits_begin_anew() -> Iterator[None]:
    """What one test tried too often is not held against the next."""
    yield
    if isinstance(caches["default"], LocMemCache):
        caches["default"].clear()


@pytest.fixture
def committed(transactional_db: None) -> Iterator[None]:
    """Rows are really committed, so that other threads and processes see them; emptied after."""
    yield
    database.close()


@pytest.fixture
async def live_hub() -> AsyncIterator[Hub]:
    """The process's hub, delivering on the test's own loop."""
    hub.bind(asyncio.get_running_loop())
    yield hub
    hub.unbind()


# -- organisations and people --------------------------------------------------------


@pytest.fixture
def acme(db: None) -> Organisation:
    return factories.organisation("acme", tier="enterprise")


@pytest.fixture
def globex(db: None) -> Organisation:
    return factories.organisation("globex", tier="mid")


@pytest.fixture
def netra(db: None) -> Organisation:
    """Netra's own organisation, where staff belong."""
    return factories.organisation("netra", tier="platform", kind="platform")


@pytest.fixture
def alice(acme: Organisation) -> User:
    return factories.person("alice@acme.example", acme, role="owner")


@pytest.fixture
def bob(acme: Organisation) -> User:
    return factories.person("bob@acme.example", acme)


@pytest.fixture
def mallory(globex: Organisation) -> User:
    """The stranger."""
    return factories.person("mallory@globex.example", globex, role="owner")


@pytest.fixture
def support(netra: Organisation) -> User:
    return factories.person("support@netra.example", netra, is_staff=True)


@pytest.fixture
def alice_principal(alice: User, acme: Organisation) -> Principal:
    return factories.principal(alice, acme)


@pytest.fixture
def bob_principal(bob: User, acme: Organisation) -> Principal:
    return factories.principal(bob, acme)


@pytest.fixture
def mallory_principal(mallory: User, globex: Organisation) -> Principal:
    return factories.principal(mallory, globex)


@pytest.fixture
def support_principal(support: User, netra: Organisation) -> Principal:
    return factories.principal(support, netra)


# -- services: absent ones skip at home, and fail in CI -------------------------------


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--database-bound",
        action="store_true",
        help="run only the tests that touch the database (for the run on PostgreSQL)",
    )


def pytest_collection_modifyitems(
    config: pytest.Config, items: list[pytest.Item]
) -> None:
    if not config.getoption("--database-bound"):
        return
    bound = [item for item in items if _touches_database(item)]
    config.hook.pytest_deselected(
        items=[item for item in items if item not in set(bound)]
    )
    items[:] = bound


def _touches_database(item: pytest.Item) -> bool:
    names = set(getattr(item, "fixturenames", ()))
    return item.get_closest_marker("django_db") is not None or bool(
        names & DATABASE_FIXTURES
    )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]):
    report = yield
    _fail_on_absent_service(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector: pytest.Collector):
    report = yield
    _fail_on_absent_service(report)
    return report


def _fail_on_absent_service(report: pytest.TestReport | pytest.CollectReport) -> None:
    if (
        os.environ.get("NETRA_CI") != "1"
        or not report.skipped
        or hasattr(report, "wasxfail")
    ):
        return
    reason = str(
        report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
    )
    services = ["redis", "chromium", "node"]
    if os.environ.get("NETRA_TEST_DATABASE_URL"):
        services.append("postgresql")
    if any(service in reason.lower() for service in services):
        report.outcome = "failed"
        report.longrepr = f"skipped where every service should be there: {reason}"
