"""A company sign-in that begins on one server and ends on another; and one whose Redis goes meanwhile."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
import requests

from tests.accounts.lying_provider import LyingProvider, lying_provider
from tests.live.cluster import AbsentError, Cluster, Server
from tests.live.installation import ROOT, free_port

pytestmark = [
    pytest.mark.live,
    pytest.mark.security,
    pytest.mark.integration,
    pytest.mark.xdist_group("live-two-servers"),
]
START = "/accounts/oidc/acme-own/login/"
LIST = "/accounts/sessions/"
PROVIDER = """
import sys, django
django.setup()
from django.utils import timezone
from apps.accounts.models import Domain, IdentityProvider, Organisation
from apps.core.tenancy import tenant
place = Organisation.objects.get(slug="acme")
with tenant(place.pk):
    Domain.objects.get_or_create(
        organisation=place, domain="acme.example",
        defaults={"challenge": "c", "proved_at": timezone.now()},
    )
    IdentityProvider.objects.create(
        organisation=place, provider_id="acme-own", name="Acme", issuer=sys.argv[1],
        client_id="netra-acme",
    )
"""


class OwnRedis:
    """A Redis of the test's own, which it may take away."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        program = shutil.which("redis-server")
        if program is None:
            pytest.skip("redis-server is not installed")
        command = [program, "--port", str(self.port), "--save", "", "--bind", "127.0.0.1"]  # fmt: skip
        self._process = subprocess.Popen(
            command, cwd=self.folder, stdout=subprocess.DEVNULL
        )
        give_up = time.monotonic() + 20
        while time.monotonic() < give_up:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.05)
        raise AssertionError("redis did not start")

    def lose(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)
            self._process = None


@pytest.fixture(scope="module")
def provider() -> Iterator[LyingProvider]:
    with lying_provider() as made:
        yield made


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnRedis]:
    made = OwnRedis(tmp_path_factory.mktemp("redis"))
    made.start()
    yield made
    made.lose()


@pytest.fixture(scope="module")
def cluster(
    tmp_path_factory: pytest.TempPathFactory, shared: OwnRedis, provider: LyingProvider
) -> Iterator[Cluster]:
    made = Cluster(tmp_path_factory.mktemp("two"), shared.url)
    try:
        made.create()
    except AbsentError as error:
        pytest.skip(str(error))
    subprocess.run(
        [sys.executable, "-c", PROVIDER, provider.url],
        cwd=ROOT,
        env=made.environment | {"DJANGO_SETTINGS_MODULE": "netra.settings"},
        check=True,
        timeout=60,
    )
    try:
        made.servers(2)
        yield made
    finally:
        made.close()


@pytest.fixture
def two(cluster: Cluster, request: pytest.FixtureRequest) -> Iterator[list[str]]:
    servers = [p for p in cluster.processes if isinstance(p, Server)]
    yield [f"http://127.0.0.1:{server.port}" for server in servers]
    request.node.add_report_section("teardown", "logs", cluster.said())


def begin(browser: requests.Session, at: str, provider: LyingProvider) -> str:
    """Be sent to the provider; returns the path with which it sends back."""
    browser.get(at + START, timeout=30)
    token = browser.cookies["csrftoken"]
    answer = browser.post(
        at + START,
        {"csrfmiddlewaretoken": token},
        headers={"Referer": at + START},
        allow_redirects=False,
        timeout=30,
    )
    assert answer.status_code == 302, answer.text
    asked = parse_qs(urlsplit(answer.headers["Location"]).query)
    provider.nonce = asked["nonce"][0]
    return f"{START}callback/?{urlencode({'code': 'c-1', 'state': asked['state'][0]})}"


def come(browser: requests.Session, to: str) -> requests.Response:
    return browser.get(to, allow_redirects=False, timeout=30)


def is_in(browser: requests.Session, at: str) -> bool:
    return come(browser, at + LIST).status_code == 200


def sign_out(browser: requests.Session, at: str) -> None:
    browser.get(f"{at}/accounts/logout/", timeout=30)
    browser.post(
        f"{at}/accounts/logout/",
        {"csrfmiddlewaretoken": browser.cookies["csrftoken"]},
        headers={"Referer": f"{at}/accounts/logout/"},
        allow_redirects=False,
        timeout=30,
    )


def test_begun_here_and_completed_there_it_holds_on_both(two, provider):
    one, other = two
    with requests.Session() as browser:
        back = begin(browser, one, provider)

        assert come(browser, other + back).status_code == 302

        assert is_in(browser, one)
        assert is_in(browser, other)
        sign_out(browser, other)
        assert not is_in(browser, one)
        assert not is_in(browser, other)


def test_an_answer_that_one_server_took_counts_for_none(two, provider):
    one, other = two
    with requests.Session() as browser:
        back = begin(browser, one, provider)
        come(browser, one + back)
        sign_out(browser, one)

        again = come(browser, other + back)

        assert again.status_code == 401
        assert not is_in(browser, other)


def test_with_redis_lost_in_the_middle_nobody_passes_and_is_told_to_try_again(
    two, provider, shared, cluster
):
    one, other = two
    with requests.Session() as browser:
        back = begin(browser, one, provider)
        shared.lose()
        before = cluster.rows("SELECT count(*) FROM accounts_signin")

        answer = come(browser, other + back)

        assert answer.status_code == 503, answer.text
        assert answer.headers["Retry-After"] == "60"
        assert "interrupted on our side" in answer.text
        assert "Try again" in answer.text
        assert not is_in(browser, one)
        assert not is_in(browser, other)
        assert cluster.rows("SELECT count(*) FROM accounts_signin") == before

        shared.start()
        back = begin(browser, one, provider)
        assert come(browser, other + back).status_code == 302
        assert is_in(browser, one)
