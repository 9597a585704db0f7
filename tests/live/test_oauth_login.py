"""Signing in through a real OpenID Connect provider, in a process of its own."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
from django.test import Client

from apps.accounts.models import Identity, IdentityProvider, User
from apps.audits.models import Receipt
from tests.accounts.conftest import make_provider
from tests.factories import TESTS

pytestmark = [pytest.mark.live, pytest.mark.golden_path, pytest.mark.security]
MANAGE = Path(__file__).resolve().parents[2] / "manage.py"
PATIENCE = 30


@pytest.fixture(scope="module")
def provider_url() -> Iterator[str]:
    """The demo's provider on a free port, as `manage.py demo_provider` runs it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, str(MANAGE), "demo_provider", "--port", str(port)],
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings"},
        stderr=subprocess.PIPE,
        text=True,
    )
    url = f"http://127.0.0.1:{port}"
    try:
        _await(url, process)
        yield url
    finally:
        process.terminate()
        _, said = process.communicate(timeout=PATIENCE)
    assert "Deprecation" not in said


def _await(url: str, process: subprocess.Popen[str]) -> None:
    give_up = time.monotonic() + PATIENCE
    while time.monotonic() < give_up and process.poll() is None:
        try:
            requests.get(url, timeout=1).raise_for_status()
        except requests.ConnectionError:
            time.sleep(0.1)
        else:
            return
    pytest.fail("the provider did not start")


@dataclass
class Person:
    """A browser: cookies for Netra in Django's client, the provider over real HTTP."""

    netra: Client
    at: str = ""

    def start(self, provider_id: str, query: str = "") -> str:
        page = self.netra.get(f"/accounts/oidc/{provider_id}/login/{query}")
        token = re.search(r'csrfmiddlewaretoken" value="([^"]+)', page.content.decode())
        assert token
        answer = self.netra.post(
            f"/accounts/oidc/{provider_id}/login/{query}",
            {"csrfmiddlewaretoken": token[1]},
        )
        assert answer.status_code == 302
        self.at = answer["Location"]
        return self.at

    def agree(self, **form: str) -> str:
        assert requests.get(self.at, timeout=5).status_code == 200
        answer = requests.post(self.at, data=form, allow_redirects=False, timeout=5)
        assert answer.status_code == 302
        back = urlsplit(answer.headers["Location"])
        return f"{back.path}?{back.query}"

    def sign_in(self, provider_id: str, sub: str, query: str = ""):
        self.start(provider_id, query)
        return self.netra.get(self.agree(sub=sub))

    @property
    def signed_in(self) -> bool:
        return self.netra.get("/")["Location"] != "/accounts/login/"


@pytest.fixture
def visitor() -> Person:
    return Person(Client(enforce_csrf_checks=True))


@pytest.fixture
def companies(acme, globex, provider_url) -> dict[str, IdentityProvider]:
    return {
        place.slug: make_provider(place, issuer=provider_url)
        for place in (acme, globex)
    }


def test_a_member_signs_in_and_arrives_in_the_chat(visitor, companies, alice):
    response = visitor.sign_in("acme", "alice@acme.example")

    assert response["Location"] == "/"
    assert visitor.netra.get("/")["Location"] == "/chat/"
    with TESTS:
        assert Identity.objects.get().user == alice


def test_somebody_new_becomes_a_member(visitor, companies):
    visitor.sign_in("acme", "bob@acme.example")

    user = User.objects.get()
    assert (user.email, user.name, user.has_usable_password()) == (
        "bob@acme.example",
        "Bob Baker",
        False,
    )
    assert visitor.signed_in


def test_one_arrives_where_one_wanted_to_go(visitor, companies):
    assert (
        visitor.sign_in("acme", "bob@acme.example", "?next=/chat/")["Location"]
        == "/chat/"
    )


def test_the_request_carries_state_and_proof_key(visitor, companies):
    asked = parse_qs(urlsplit(visitor.start("acme")).query)

    assert asked["client_id"] == ["netra-acme"]
    assert asked["code_challenge_method"] == ["S256"]
    assert len(asked["code_challenge"][0]) == 43
    assert len(asked["state"][0]) >= 16


def test_a_provider_cannot_bring_in_anothers_people(visitor, companies, alice):
    """mallory's provider asserts alice's address, verified: the attack of shared sign-in."""
    with TESTS:
        issuer = companies["globex"].issuer
    requests.put(
        f"{issuer}/users/evil",
        json={"email": "alice@acme.example", "email_verified": True},
        timeout=5,
    ).raise_for_status()

    response = visitor.sign_in("globex", "evil")

    assert response.status_code == 403
    assert "may not speak for alice@acme.example" in response.content.decode()
    assert not visitor.signed_in
    with TESTS:
        assert not Identity.objects.exists()
        assert (
            Receipt.objects.get().organisation_id == companies["globex"].organisation_id
        )


def test_a_stranger_does_not_come_in_through_the_wrong_company(visitor, companies):
    assert visitor.sign_in("acme", "mallory@globex.example").status_code == 403
    assert not User.objects.exists()


def test_an_answer_is_used_once(visitor, companies):
    visitor.start("acme")
    back = visitor.agree(sub="bob@acme.example")
    visitor.netra.get(back)
    visitor.netra.logout()

    assert visitor.netra.get(back).status_code == 401
    assert not visitor.signed_in


def test_an_answer_of_another_browser_is_refused(visitor, companies):
    visitor.start("acme")
    back = visitor.agree(sub="bob@acme.example")
    other = Person(Client())

    assert other.netra.get(back).status_code == 401
    assert not other.signed_in


def test_an_answer_of_one_company_is_not_taken_at_another(visitor, companies):
    visitor.start("globex")
    back = visitor.agree(sub="bob@acme.example").replace("/globex/", "/acme/")

    assert visitor.netra.get(back).status_code == 401
    assert not visitor.signed_in


def test_an_invented_code_is_refused(visitor, companies):
    state = parse_qs(urlsplit(visitor.start("acme")).query)["state"][0]

    response = visitor.netra.get(
        f"/accounts/oidc/acme/login/callback/?code=invented&state={state}"
    )

    assert response.status_code == 401


def test_who_declines_is_told_that_nothing_happened(visitor, companies):
    visitor.start("acme")
    page = visitor.netra.get(visitor.agree(action="deny"), follow=True)

    assert "You stopped signing in" in page.content.decode()
    assert not visitor.signed_in


def test_a_provider_that_is_gone_is_explained(visitor, acme):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        make_provider(acme, issuer=f"http://127.0.0.1:{closed.getsockname()[1]}")
        client = Client()

        response = client.post("/accounts/oidc/acme/login/")

    assert response.status_code == 503


def test_the_demos_pages_fetch_nothing_from_elsewhere(visitor, companies):
    page = requests.get(visitor.start("acme"), timeout=5).text

    assert "https://" not in page
    assert "Continue as alice@acme.example" in page
