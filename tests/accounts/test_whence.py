"""What the trail is told of a request: never more than is known, nothing secret, nothing a client invents."""

from __future__ import annotations

import hashlib
import json

import pytest
from django.test import Client, RequestFactory

from apps.accounts import whence
from apps.core import circumstances
from apps.core.circumstances import Circumstances

AGENT = "Mozilla/5.0 " + "x" * 300


def request(path: str = "/chat/", **headers: str):
    return RequestFactory().get(path, headers=headers, REMOTE_ADDR="192.0.2.5")


@pytest.mark.parametrize(
    ("path", "door"),
    [
        ("/chat/", "http"),
        ("/api/v1/threads/", "http"),
        ("/admin/", "admin"),
        ("/scim/v2/Users", "scim"),
    ],
)
def test_the_path_says_which_door_it_is(path, door) -> None:
    assert whence.of_request(request(path)).door == door


def test_a_clients_name_is_cut() -> None:
    told = whence.of_request(request(**{"User-Agent": AGENT}))

    assert told.agent == AGENT[:200]


@pytest.mark.security
def test_an_address_that_a_visitor_claims_is_not_believed(settings) -> None:
    claimed = {"X-Forwarded-For": "203.0.113.9"}

    assert whence.of_request(request(**claimed)).address == "192.0.2.5"
    settings.NETRA_PROXIES = 1
    assert whence.of_request(request(**claimed)).address == "203.0.113.9"


@pytest.mark.security
@pytest.mark.parametrize("told", ["", "a b", "x" * 65, "short", "line\nfeed-is-bad"])
def test_an_id_that_is_none_is_replaced(told) -> None:
    made = whence.of_request(request(**({"X-Request-ID": told} if told else {})))

    assert made.request_id != told
    assert len(made.request_id) == 32


def test_a_proxys_id_is_kept() -> None:
    told = whence.of_request(request(**{"X-Request-ID": "edge-0001.a_b"}))

    assert told.request_id == "edge-0001.a_b"


@pytest.mark.security
def test_a_session_is_named_by_a_digest_and_not_by_its_key() -> None:
    scope = {"headers": [(b"user-agent", b"Firefox")], "client": ("192.0.2.6", 1)}

    told = whence.of_socket(scope, "secret-key")

    assert told.session == hashlib.sha256(b"secret-key").hexdigest()[:16]
    assert "secret" not in repr(told)
    assert (told.door, told.address, told.agent) == ("socket", "192.0.2.6", "Firefox")
    assert whence.of_socket(scope, None).session == ""


@pytest.mark.django_db
def test_a_view_runs_under_the_circumstances_of_its_request(alice, monkeypatch) -> None:
    seen: list[Circumstances] = []
    monkeypatch.setattr(
        "apps.accounts.middleware._scope",
        lambda *_: seen.append(circumstances.present()),
    )
    client = Client()
    client.force_login(alice)

    client.get("/healthz", headers={"User-Agent": "Firefox"})

    assert seen[-1].agent == "Firefox"
    assert len(seen[-1].session) == 16
    assert client.session.session_key not in json.dumps(repr(seen[-1]))
    assert circumstances.present() is circumstances.NONE
